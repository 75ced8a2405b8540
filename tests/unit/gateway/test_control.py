"""Who may have the gateway's pages when many ask for them."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forebay_gateway.control import Control, Page

STREAM = b"GET /demand HTTP/1.1\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\n\r\n"


async def _lines(go_on: asyncio.Event) -> AsyncIterator[str]:
    yield "first"
    await go_on.wait()
    yield "second"


class Asking:
    """Connections from addresses of this machine, all closed at the end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def ask(self, host: str, request: bytes) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(host, 0))
        self._writers.append(writer)
        writer.write(request)
        return reader

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


@pytest.mark.parametrize(("addresses", "each"), [(1, 300), (20, 16)], ids=["of one address", "of twenty addresses"])
async def test_streams_without_end_keep_neither_probes_nor_a_stream_of_another_address_out(
    tmp_path: Path, addresses: int, each: int
) -> None:
    go_on = asyncio.Event()
    control = Control(lambda path: Page(200, "text/plain", "ok\n") if path == "/healthz" else _lines(go_on))
    async with control.serving(tmp_path / "socket", ("127.0.0.1", 0)) as address, asyncio.timeout(60):
        asking = Asking(int(address.rpartition(":")[2]))
        try:
            ours = await asking.ask("127.0.0.250", STREAM)
            await ours.readuntil(b"first\n")
            theirs = [await asking.ask(f"127.0.0.{2 + host}", STREAM) for host in range(addresses) for _ in range(each)]
            await theirs[-1].readuntil(b"first\n")

            probe = await (await asking.ask("127.0.0.1", HEALTH)).read()
            go_on.set()

            assert probe.startswith(b"HTTP/1.1 200 ")
            assert await ours.read() == b"second\n"
        finally:
            await asking.close()


async def test_of_many_that_come_at_once_those_beyond_the_most_are_closed(tmp_path: Path) -> None:
    """Some are ended before they had a turn."""
    control = Control(lambda _: _lines(asyncio.Event()))
    async with control.serving(tmp_path / "socket", ("127.0.0.1", 0)) as address, asyncio.timeout(60):
        asking, ends = Asking(int(address.rpartition(":")[2])), list[asyncio.Future[None]]()
        try:
            readers = await asyncio.gather(*(asking.ask("127.0.0.2", STREAM) for _ in range(100)))
            ends += [asyncio.ensure_future(_closed(reader)) for reader in readers]
            for ended in itertools.islice(asyncio.as_completed(ends), 84):
                await ended
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            await asking.close()


async def _closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionResetError):
        await reader.read()
