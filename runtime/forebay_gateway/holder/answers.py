"""What the holder answers, the same for HTTP and gRPC: in Triton's form, with Triton's texts where it has one."""

import json
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import version
from typing import Final

from forebay_schema import headers
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import HoldLimits

RETRY_AFTER_S: Final = 5


class GrpcCode(IntEnum):
    OK = 0
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    UNIMPLEMENTED = 12
    UNAVAILABLE = 14


@dataclass(frozen=True, slots=True)
class Answer:
    """An error has `error`; a success has what its protocol needs: a `body` for HTTP, a `message` for gRPC."""

    status: int
    code: GrpcCode
    error: str = ""
    body: bytes = b""
    message: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def http_body(self) -> bytes:
        return json.dumps({"error": self.error}).encode() if self.error else self.body


# Protobuf messages with one boolean field that is true: ServerLive, ServerReady, ModelReady; and health's SERVING.
_TRUE: Final = b"\x08\x01"

READY: Final = Answer(status=200, code=GrpcCode.OK, message=_TRUE)
LET_GO: Final = Answer(status=503, code=GrpcCode.UNAVAILABLE, headers=((headers.RETRY, "held"),))
"""Envoy tries again at once, at a replica."""

NO_SUCH_PATH: Final = Answer(status=404, code=GrpcCode.UNIMPLEMENTED, error="Not Found")
WRONG_VERB: Final = Answer(status=405, code=GrpcCode.UNIMPLEMENTED, error="Method Not Allowed")
RESTRICTED: Final = Answer(
    status=403,
    code=GrpcCode.UNAVAILABLE,
    error="This API is restricted: the gateway passes inference and information about models only; "
    "what a server holds is decided by its ModelDeployments",
)
NO_AUTHORITY: Final = Answer(
    status=400,
    code=GrpcCode.INVALID_ARGUMENT,
    error="the gateway finds a gRPC model by the host: open the channel with the option grpc.default_authority=NAME.NAMESPACE",
)

NOT_READY: Final = Answer(status=400, code=GrpcCode.OK, error="Model version not ready", message=b"")
"""Triton says this on its ready call; by gRPC it is an answer (false), no error."""


def server_metadata() -> Answer:
    name, extensions = "forebay", ("binary_tensor_data", "parameters", "model_configuration", "statistics")
    release = version("forebay")
    body = json.dumps({"name": name, "version": release, "extensions": extensions}).encode()
    fields = ((1, name), (2, release), *((3, extension) for extension in extensions))
    message = b"".join(_string_field(number, text) for number, text in fields)
    return Answer(status=200, code=GrpcCode.OK, body=body, message=message)


def unknown_model(name: str) -> Answer:
    return Answer(status=404, code=GrpcCode.NOT_FOUND, error=f"Request for unknown model: '{name}' is not found")


def other_model(named: str, host: ModelAddress) -> Answer:
    return Answer(
        status=400,
        code=GrpcCode.INVALID_ARGUMENT,
        error=f"the request names model '{named}', its host names '{host.name}' in namespace '{host.namespace}': "
        f"use the host {named}.{host.namespace}, or ask for '{host.name}'",
    )


def stopped(address: ModelAddress, reason: str) -> Answer:
    error = f"model '{address.name}' is stopped" + (f": {reason}" if reason else "")
    return Answer(status=503, code=GrpcCode.UNAVAILABLE, error=error)


def too_many(address: ModelAddress, limits: HoldLimits) -> Answer:
    return _try_later(f"model '{address.name}': {limits.requests} requests are waiting for a replica already")


def too_large(address: ModelAddress, limits: HoldLimits, size: int) -> Answer:
    return _try_later(
        f"model '{address.name}' has no ready replica, and {limits.bytes} bytes at most may wait for one: "
        f"with this request of {size} bytes there would be more"
    )


def crowded(address: ModelAddress) -> Answer:
    return _try_later(f"model '{address.name}' has no ready replica, and as many requests wait for models as may at all")


def too_late(address: ModelAddress, limits: HoldLimits) -> Answer:
    return _try_later(f"model '{address.name}': no replica became ready within {limits.seconds:g} s")


def unreachable(address: ModelAddress) -> Answer:
    return _try_later(f"model '{address.name}': its replicas could not take the request, after many attempts")


def not_set_up(address: ModelAddress) -> Answer:
    return _try_later(f"model '{address.name}' is being set up at the gateway")


def ending(address: ModelAddress) -> Answer:
    return _try_later(f"model '{address.name}' has no ready replica, and this gateway is asked to end: another one takes it")


def mirrored(address: ModelAddress) -> Answer:
    return Answer(
        status=503,
        code=GrpcCode.UNAVAILABLE,
        error=f"model '{address.name}' has no ready replica; a mirrored copy is not held",
    )


def _try_later(error: str) -> Answer:
    return Answer(status=503, code=GrpcCode.UNAVAILABLE, error=error, headers=(("retry-after", str(RETRY_AFTER_S)),))


def _string_field(number: int, text: str) -> bytes:
    """A protobuf field of a string shorter than 128 bytes."""
    return bytes((number << 3 | 2, len(text))) + text.encode()
