"""What can go wrong with a request, in neutral words, and the two tables of codes that HTTP and gRPC give it.

RequestError
├── InvalidArgumentError      the request is wrong
├── NotFoundError             no such model or version
├── UnavailableError          not now
│   └── RetryElsewhereError   not here: nothing was executed, another server may answer
├── UnsupportedError          this server does not do that
├── RestrictedError           a token is missing
├── CancelledError            the client went away
├── RunTimeoutError           the model did not come to an end
└── InternalError             everything else, malformed JSON included (as in Triton)
"""

from typing import Final


class RequestError(Exception):
    """A request that is not answered as asked; the message is for the client."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgumentError(RequestError):
    pass


class NotFoundError(RequestError):
    pass


class UnavailableError(RequestError):
    pass


class RetryElsewhereError(UnavailableError):
    """`reason` goes out as the header `x-forebay-retry`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnsupportedError(RequestError):
    pass


class RestrictedError(RequestError):
    pass


class CancelledError(RequestError):
    pass


class RunTimeoutError(RequestError):
    pass


class InternalError(RequestError):
    pass


HTTP_STATUS: Final[dict[type[RequestError], int]] = {
    InvalidArgumentError: 400,
    CancelledError: 400,
    RestrictedError: 403,
    NotFoundError: 404,
    InternalError: 500,
    UnsupportedError: 501,
    UnavailableError: 503,
    RetryElsewhereError: 503,
    RunTimeoutError: 504,
}

GRPC_STATUS: Final[dict[type[RequestError], str]] = {
    InvalidArgumentError: "INVALID_ARGUMENT",
    CancelledError: "CANCELLED",
    RestrictedError: "UNAVAILABLE",
    NotFoundError: "NOT_FOUND",
    InternalError: "INTERNAL",
    UnsupportedError: "UNIMPLEMENTED",
    UnavailableError: "UNAVAILABLE",
    RetryElsewhereError: "UNAVAILABLE",
    RunTimeoutError: "DEADLINE_EXCEEDED",
}
"""Names of `grpc.StatusCode`."""


def with_request_id(request_id: str, message: str) -> str:
    """Triton's prefix of errors that belong to one inference request."""
    return f"[request id: {request_id or '<id_unknown>'}] {message}"
