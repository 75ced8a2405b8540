"""A page of a server, asked for again and again over one kept connection: HTTP/1.1 as far as that needs it."""

import asyncio
from collections.abc import Callable
from typing import Final

_OK: Final = 200
_MOST_PAGE: Final = 16 << 20
_ANSWER_S: Final = 5.0
_RECEIVED: Final = memoryview(bytearray(64 << 10))
"""Where all connections receive: what came is taken out before the next one receives."""


class PageError(ValueError):
    """What came is no answer that can be used."""


class PageConnection(asyncio.BufferedProtocol):
    """One connection, one page. `received` gets each body; `lost` is called once, when the connection ends."""

    def __init__(self, request: bytes, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._request = request
        self._received = received
        self._lost = lost
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._asked_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        """Send the request, unless the answer to the last one is still to come; give up on one that does not."""
        if self._transport is None or self._transport.is_closing():
            return
        now = asyncio.get_running_loop().time()
        if self._asked_at is None:
            self._asked_at = now
            self._transport.write(self._request)
        elif now - self._asked_at > _ANSWER_S:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        self._take(bytes(_RECEIVED[:nbytes]))

    def _take(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        try:
            while (answer := cut(self._buffer)) is not None:
                status, body, self._buffer = answer
                if status != _OK:
                    raise PageError(f"answered {status}")
                self._asked_at = None
                self._received(body)
            if len(self._buffer) > _MOST_PAGE:
                raise PageError("the page does not end")
        except ValueError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        self._lost()


def request(method: str, path: str, host: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def cut(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    """Status, body and the rest, if a whole answer is there.

    Raises:
        PageError: this is no HTTP, or of a length that is not said.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[:end].lower()
    if not head.startswith(b"http/1."):
        raise PageError("no HTTP")
    status = int(head[9:12])
    start = end + 4
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        stop = head.find(b"\r\n", at + 2)
        length = int(head[at + 17 : stop if stop >= 0 else end])
        if len(buffer) < start + length:
            return None
        return status, buffer[start : start + length], buffer[start + length :]
    if b"\r\ntransfer-encoding: chunked" in head:
        chunked = _dechunked(buffer, start)
        return None if chunked is None else (status, *chunked)
    raise PageError("an answer of unknown length")


def _dechunked(buffer: bytes, at: int) -> tuple[bytes, bytes] | None:
    parts: list[bytes] = []
    while True:
        line = buffer.find(b"\r\n", at)
        if line < 0:
            return None
        size = int(buffer[at:line].partition(b";")[0], 16)
        start = line + 2
        if len(buffer) < start + size + 2:
            return None
        if size == 0:
            # Trailers are never sent by servers of ours.
            return b"".join(parts), buffer[start + 2 :]
        parts.append(buffer[start : start + size])
        at = start + size + 2
