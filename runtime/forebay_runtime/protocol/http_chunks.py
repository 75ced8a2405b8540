"""Chunked request bodies."""

import re
from typing import Final

_SIZE_LINE: Final = re.compile(rb"(?P<size>[0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?")
_MAX_LINE: Final = 8192
_MAX_CHUNKS: Final = 65_536


class ChunkError(ValueError):
    """Not a chunked body."""


class BodyTooLargeError(ValueError):
    """More than the limit."""


class ChunkDecoder:
    """Takes a chunked body piece by piece; `body` is whole once `done`."""

    def __init__(self, max_bytes: int) -> None:
        self.body = bytearray()
        self.done = False
        self._max_bytes = max_bytes
        self._left = 0
        self._chunks = 0
        self._after_data = False
        self._in_trailer = False

    def feed(self, data: bytes) -> int:
        """Take what can be taken of `data`; return how much that was: the rest is to be fed again, with more behind it.

        Raises:
            ChunkError: it is malformed.
            BodyTooLargeError: the body is larger than the limit.
        """
        position = 0
        while not self.done:
            if self._left:
                taken = data[position : position + self._left]
                if not taken:
                    break
                self.body += taken
                self._left -= len(taken)
                position += len(taken)
                self._after_data = not self._left
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                if len(data) - position > _MAX_LINE:
                    raise ChunkError(f"a line of the chunked body is longer than {_MAX_LINE} bytes")
                break
            self._line(data[position:end])
            position = end + 2
        return position

    def _line(self, line: bytes) -> None:
        if self._after_data:
            if line:
                raise ChunkError("a chunk is longer than its size says")
            self._after_data = False
        elif self._in_trailer:
            self.done = not line
        else:
            self._size(line)

    def _size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise ChunkError(f"{line[:40]!r} is no chunk size")
        self._left = int(match["size"], 16)
        self._chunks += 1
        if self._chunks > _MAX_CHUNKS:
            raise ChunkError(f"the body has more than {_MAX_CHUNKS} chunks")
        if len(self.body) + self._left > self._max_bytes:
            raise BodyTooLargeError(f"the chunked body is larger than {self._max_bytes} bytes")
        self._in_trailer = self._left == 0
