"""gRPC's side of errors and metadata."""

from typing import Any, Final, NoReturn

import grpc

from forebay_runtime.protocol.errors import GRPC_STATUS, RequestError, RetryElsewhereError
from forebay_runtime.service.data_plane import DIRECT, GatewayHeaders, version_of
from forebay_schema import headers

# Characters; a character takes up to three bytes on the wire, twelve where it is not ASCII.
_MOST_ASCII: Final = 2000
_MOST_OTHERS: Final = 500


def abort(context: Any, error: RequestError) -> NoReturn:
    """End the call with the error's status; a retry answer carries its header."""
    if isinstance(error, RetryElsewhereError):
        # Nothing was sent before: this goes out as one block of headers, which is where Envoy looks for it.
        context.set_trailing_metadata(((headers.RETRY, error.reason),))
    context.abort(grpc.StatusCode[GRPC_STATUS[type(error)]], clipped(error.message))
    raise AssertionError("abort does not return")


def clipped(message: str) -> str:
    """Clients drop a call whose status is larger than 8 KiB or so: what they sent is repeated to them in part."""
    most = _MOST_ASCII if message.isascii() else _MOST_OTHERS
    return message if len(message) <= most else f"{message[:most]}..."


def gateway_headers(metadata: Any) -> GatewayHeaders:
    """What the gateway added to a call."""
    version, model = "", ""
    for key, value in metadata:
        if key == headers.VERSION:
            version = value
        elif key == headers.MODEL:
            model = value
    if not version and not model:
        return DIRECT
    return GatewayHeaders(version_of(version), model)
