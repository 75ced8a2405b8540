"""What requests take of the server's memory, and how much they may."""

from typing import Final

from forebay_runtime.protocol.errors import RetryElsewhereError, UnavailableError

_MIB: Final = 1 << 20
_REASON: Final = "memory-full"


class RequestMemory:
    """Bytes of request bodies that are being received or are not answered yet; used from the event loop only."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, count: int, *, retried: bool) -> None:
        """Account for a body, or a part of it; `retried`: the gateway would try the request elsewhere.

        Raises:
            UnavailableError: there is no room for it.
        """
        if self.used_bytes + count > self.limit_bytes:
            message = (
                f"the request needs {count / _MIB:.1f} MiB, but the requests that this server is receiving and answering take"
                f" {self.used_bytes / _MIB:.1f} of {self.limit_bytes / _MIB:.1f} MiB (--request-memory): try again later"
            )
            raise RetryElsewhereError(message, _REASON) if retried else UnavailableError(message)
        self.used_bytes += count

    def give(self, count: int) -> None:
        """What was taken is free again."""
        self.used_bytes -= count
