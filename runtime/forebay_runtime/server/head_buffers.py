"""What connections receive into before they know what it is: thousands that wait for a request share a few buffers."""

from typing import Final, NamedTuple

from forebay_runtime.protocol.http_head import MAX_HEAD_BYTES

_KEPT: Final = 64


class HeadBuffer(NamedTuple):
    """Room for the head of a request, and a view of it, which is slower to make than to keep."""

    data: bytearray
    view: memoryview


NO_BUFFER: Final = HeadBuffer(bytearray(), memoryview(b""))


class HeadBuffers:
    """Used from the event loop only. A connection has one while it keeps something that it has received."""

    def __init__(self) -> None:
        self._free: list[HeadBuffer] = []

    def take(self) -> HeadBuffer:
        if self._free:
            return self._free.pop()
        data = bytearray(MAX_HEAD_BYTES)
        return HeadBuffer(data, memoryview(data))

    def give(self, buffer: HeadBuffer) -> None:
        if len(self._free) < _KEPT:
            self._free.append(buffer)
