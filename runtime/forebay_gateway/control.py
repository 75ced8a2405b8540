"""The control pages: HTTP for the controller, over a Unix socket on the same machine and by TCP in a cluster.

`GET /demand`: JSON lines without end. `GET /healthz`: 200 while the gateway serves. `GET /metrics`: Prometheus text.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from forebay_gateway.settings import SettingsError
from forebay_schema.network import authority, place

_HEAD_TIMEOUT_S: Final = 5.0
_WRITE_TIMEOUT_S: Final = 30.0
"""A reader that takes nothing for so long is given up."""
_MOST_CLIENTS: Final = 256
_MOST_OF_ADDRESS: Final = 16
"""Whoever reaches the pages may ask for them: one that wants streams without end must not keep probes and controllers out."""


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    content_type: str
    text: str


Pages = Callable[[str], "Page | AsyncIterator[str]"]
"""The content at a path: a page, or lines that go on until the client leaves."""


class Control:
    """Answers clients from the same pages at every address."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._clients = dict[asyncio.Task[None], str]()
        """With their addresses, the oldest first; those of this machine's socket have none."""

    @asynccontextmanager
    async def serving(self, socket: Path, address: tuple[str, int] | None) -> AsyncGenerator[str]:
        """Answer within the block; its end ends all streams. Gives the TCP address that is listened on, or nothing.

        Raises:
            SettingsError: the TCP address cannot be had.
        """
        async with AsyncExitStack() as stack:
            # Ended after the servers are closed. Waiting for the servers' own end would be waiting for the streams'.
            stack.push_async_callback(self._end)
            stack.callback((await asyncio.start_unix_server(self._welcome, socket)).close)
            if address is None:
                yield ""
                return
            server = await self._listen(*address)
            stack.callback(server.close)
            host, port = server.sockets[0].getsockname()[:2]
            yield authority(host, port)

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        try:
            return await asyncio.start_server(self._welcome, **place(host, port))
        except OSError as error:
            raise SettingsError(
                f"the control address {authority(host, port)} cannot be used: {error.strerror}. Stop the process that has it, "
                "or choose another --control-address"
            ) from None

    # No coroutine: asyncio would await it itself, and log a traceback for each that is cancelled.
    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        self._make_room(address)
        client = asyncio.create_task(self._attend(reader, writer))
        self._clients[client] = address
        client.add_done_callback(lambda ended: self._leave(ended, writer))

    # Not the task's own to do: one that is ended before its turn never runs.
    def _leave(self, client: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._clients.pop(client, None)
        if client.cancelled():
            # Who takes nothing would keep its connection for ever.
            writer.transport.abort()
        else:
            writer.close()

    def _make_room(self, address: str) -> None:
        """End the oldest client of an address that has too many, or of the one that has most if there are too many in all."""
        counts = Counter(self._clients.values())
        if not address or counts[address] < _MOST_OF_ADDRESS:
            if len(self._clients) < _MOST_CLIENTS:
                return
            address = counts.most_common(1)[0][0]
        oldest = next(client for client, theirs in self._clients.items() if theirs == address)
        del self._clients[oldest]
        oldest.cancel()

    async def _end(self) -> None:
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._answer(head, writer)

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        method, path, *_ = [*head.decode("latin-1").split(" ", 2), "", ""]
        content = self._pages(path.partition("?")[0]) if method == "GET" else _error(HTTPStatus.METHOD_NOT_ALLOWED)
        if isinstance(content, Page):
            await _write(writer, _head(content.status, content.content_type) + content.text.encode())
            return
        await _write(writer, _head(HTTPStatus.OK, "application/jsonl"))
        async for line in content:
            await _write(writer, line.encode() + b"\n")


def not_found(path: str) -> Page:
    return Page(HTTPStatus.NOT_FOUND, "text/plain", f"nothing at {path}: there are /demand, /healthz and /metrics\n")


async def _write(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(content)
    async with asyncio.timeout(_WRITE_TIMEOUT_S):
        await writer.drain()


def _error(status: HTTPStatus) -> Page:
    return Page(status, "text/plain", f"{status.phrase}\n")


def _head(status: int, content_type: str) -> bytes:
    # The end of the connection is the end of the content.
    lines = (f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-type: {content_type}", "connection: close", "", "")
    return "\r\n".join(lines).encode()
