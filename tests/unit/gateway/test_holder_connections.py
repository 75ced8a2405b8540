"""The holder's HTTP/1.1 connections, over a real Unix socket."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from forebay_gateway.holder.connections import MOST_KEPT, Departures, serve_http
from forebay_gateway.holder.holder import Holder
from forebay_gateway.settings import Sockets
from forebay_schema.addresses import ModelAddress
from gateway_xds import index, route

A = ModelAddress(namespace="default", name="a")


@dataclass
class Site:
    holder: Holder
    sockets: Sockets

    async def connect(self) -> "Client":
        return Client(*await asyncio.open_unix_connection(self.sockets.holder("h")))

    async def until_held(self, count: int) -> None:
        async with asyncio.timeout(30):
            while self.holder.held(A) != count:  # noqa: ASYNC110 - the holder tells nobody
                await asyncio.sleep(0.01)

    def let_go(self) -> None:
        self.holder.acknowledge(index(route("a", (1, 100, 8000))))

    def has_no_replica(self) -> None:
        self.holder.acknowledge(index(route("a")))


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(self, length: int, body: bytes, *, name: str = "a") -> None:
        head = f"POST /v2/models/{name}/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        self.writer.write(head.encode() + body)

    async def head(self) -> str:
        async with asyncio.timeout(30):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            await self.reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        return head


@asynccontextmanager
async def serving(folder: Path, most_kept: int = MOST_KEPT) -> AsyncGenerator[Site]:
    """A holder that knows a model, of which Envoy has no replica yet."""
    holder, sockets = Holder(time.monotonic, time.time, lambda: None), Sockets(folder)
    holder.follow(index(route("a", (1, 100, 8000))))
    departures = Departures(asyncio.get_running_loop())
    servers = await serve_http(holder, departures, sockets, most_kept)
    try:
        yield Site(holder, sockets)
    finally:
        for server in servers:
            server.close()
        departures.close()


async def held_and_let_go(site: Site, client: Client, length: int, *parts: bytes) -> str:
    """The answer to a request that is held, and then let go."""
    site.has_no_replica()
    client.ask(length, parts[0] if parts else b"")
    await site.until_held(1)
    for part in parts[1:]:
        client.writer.write(part)
        await client.writer.drain()
    site.let_go()
    return await client.head()


async def test_requests_with_small_bodies_share_a_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        client = await site.connect()
        for _ in range(3):
            head = await held_and_let_go(site, client, 5, b"hello")
            assert "x-forebay-retry: held" in head
            assert "connection: close" not in head
        client.ask(2, b"{}", name="unknown")
        assert (await client.head()).startswith("HTTP/1.1 404")
        client.writer.close()


async def test_a_request_whose_body_is_still_to_come_is_the_last_of_its_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for length, parts in ((5, (b"he",)), (1 << 20, (b"x",))):
            client = await site.connect()
            assert "connection: close" in await held_and_let_go(site, client, length, *parts)
            client.writer.close()


async def test_a_body_that_comes_in_parts_while_the_request_waits_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        client = await site.connect()
        client.ask(5, b"he")
        await site.until_held(1)
        client.writer.write(b"llo")
        # What is read of it shows only in the answer, and that another connection is served says that it was read.
        other = await site.connect()
        other.ask(0, b"", name="unknown")
        await other.head()
        site.let_go()
        assert "connection: close" not in await client.head()
        for each in (client, other):
            each.writer.close()


async def test_a_client_that_goes_away_while_it_waits_is_held_no_longer(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        clients = [await site.connect() for _ in range(2)]
        for client, length in zip(clients, (2, 1 << 20), strict=True):
            client.ask(length, b"{}")
        await site.until_held(2)
        for client in clients:
            client.writer.transport.abort()
        await site.until_held(0)


async def test_only_so_many_connections_are_kept(tmp_path: Path) -> None:
    async with serving(tmp_path, most_kept=1) as site:
        first, second = await site.connect(), await site.connect()
        assert "close" not in await held_and_let_go(site, first, 2, b"{}")
        assert "close" in await held_and_let_go(site, second, 2, b"{}")
        first.writer.close()
        await first.writer.wait_closed()
        third = await site.connect()
        heads = [await held_and_let_go(site, third, 2, b"{}")]
        assert "close" not in heads[0], "the one that has gone makes room"
        for client in (second, third):
            client.writer.close()


async def test_at_the_end_no_connection_is_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        client = await site.connect()
        site.holder.let_all_go()
        client.ask(2, b"{}")
        assert "connection: close" in await client.head()
        client.writer.close()
