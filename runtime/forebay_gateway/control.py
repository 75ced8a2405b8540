"""The control socket: HTTP over a Unix socket for the controller on the same machine.

`GET /demand`: JSON lines without end. `GET /healthz`: 200 once the gateway serves. `GET /metrics`: Prometheus text.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

_HEAD_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    content_type: str
    text: str


Pages = Callable[[str], "Page | AsyncIterator[str]"]
"""The content at a path: a page, or lines that go on until the client leaves."""


@asynccontextmanager
async def serving(pages: Pages, socket: Path) -> AsyncGenerator[None]:
    """Answer clients of the socket within the block; its end ends their streams."""
    clients = set[asyncio.Task[None]]()

    # No coroutine: asyncio would await it itself, and log a traceback for each that is cancelled.
    def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.create_task(_attend(pages, reader, writer))
        clients.add(client)
        client.add_done_callback(clients.discard)

    async with await asyncio.start_unix_server(welcome, socket):
        yield
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


async def _attend(pages: Pages, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer), suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(_HEAD_TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        await _answer(pages, head, writer)


async def _answer(pages: Pages, head: bytes, writer: asyncio.StreamWriter) -> None:
    method, path, *_ = [*head.decode("latin-1").split(" ", 2), "", ""]
    content = pages(path) if method == "GET" else _error(HTTPStatus.METHOD_NOT_ALLOWED)
    if isinstance(content, Page):
        writer.write(_head(content.status, content.content_type) + content.text.encode())
        await writer.drain()
        return
    writer.write(_head(HTTPStatus.OK, "application/jsonl"))
    async for line in content:
        writer.write(line.encode() + b"\n")
        await writer.drain()


def not_found(path: str) -> Page:
    return Page(HTTPStatus.NOT_FOUND, "text/plain", f"nothing at {path}: there are /demand, /healthz and /metrics\n")


def _error(status: HTTPStatus) -> Page:
    return Page(status, "text/plain", f"{status.phrase}\n")


def _head(status: int, content_type: str) -> bytes:
    # The end of the connection is the end of the content.
    lines = (f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-type: {content_type}", "connection: close", "", "")
    return "\r\n".join(lines).encode()
