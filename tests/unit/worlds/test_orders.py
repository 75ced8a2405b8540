"""Orders to a server that answers what it is told to, over real HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
from aiohttp import web

from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.deployment import Serving
from forebay_operator.domain.snapshot import Holding, HoldingPhase
from forebay_operator.worlds.orders import Contact, Orders
from forebay_schema.addresses import ModelAddress

DIGITS = ModelAddress("default", "digits")
LOAD = LoadReplica(
    server="gpu0",
    address=DIGITS,
    version=1,
    digest="0" * 64,
    serving=Serving(),
    memory_limit_bytes=1 << 30,
    sequence=7,
)
UNLOAD = UnloadReplica(server="gpu0", address=DIGITS, version=1, sequence=8)
LOADING = Holding(model="digits", version=1, phase=HoldingPhase.LOADING)
READY = Holding(model="digits", version=1, phase=HoldingPhase.READY)
FAILED = Holding(model="digits", version=1, phase=HoldingPhase.FAILED, reason="no room")


class Played:
    """A server that takes orders, and answers them when it is told to."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.address = ""
        self.orders = Orders(Contact(http=http, token="t", now=lambda: 100.0, done=self._note))
        self._came = asyncio.Condition()
        self._answers: asyncio.Queue[web.Response] = asyncio.Queue()
        self._done = asyncio.Queue[None]()

    def _note(self) -> None:
        self._done.put_nowait(None)

    async def take(self, request: web.Request) -> web.Response:
        async with self._came:
            self.taken.append((request.match_info["verb"], await request.json()))
            self._came.notify_all()
        return await self._answers.get()

    async def taken_are(self, count: int) -> None:
        async with asyncio.timeout(60), self._came:
            await self._came.wait_for(lambda: len(self.taken) == count)

    async def answer(self, refusal: str = "") -> None:
        """Answer an order, and wait until that is known."""
        response = web.json_response({"error": refusal}, status=400) if refusal else web.json_response({})
        self._answers.put_nowait(response)
        await self.is_told()

    async def is_told(self) -> None:
        """Wait until an order's end is known."""
        async with asyncio.timeout(60):
            await self._done.get()

    def load(self) -> None:
        self.orders.load(self.address, LOAD, "/store/artifact")

    def unload(self) -> None:
        self.orders.unload(self.address, UNLOAD)

    @property
    def phases(self) -> list[HoldingPhase]:
        return [holding.phase for holding in self.orders.holdings()]


@asynccontextmanager
async def _played() -> AsyncGenerator[Played]:
    async with aiohttp.ClientSession() as http:
        played = Played(http)
        app = web.Application()
        app.router.add_post("/v2/repository/models/{model}/{verb}", played.take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        played.address = f"127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield played
        finally:
            played.orders.close()
            await runner.cleanup()


async def test_a_load_is_under_way_until_the_pages_show_what_became_of_it() -> None:
    async with _played() as server:
        server.load()
        assert server.phases == [HoldingPhase.LOADING]
        await server.taken_are(1)
        await server.answer()
        # The pages that come first may have been written before the load was done.
        server.orders.pages_show(())
        assert server.phases == [HoldingPhase.LOADING]
        server.orders.pages_show((READY,))
        assert server.orders.holdings() == (READY,)


async def test_a_load_that_was_answered_and_is_not_on_the_pages_is_not_there() -> None:
    async with _played() as server:
        server.load()
        await server.taken_are(1)
        await server.answer()
        server.orders.pages_show(())
        server.orders.pages_show(())
        assert server.orders.holdings() == ()


async def test_an_order_says_what_to_load_and_is_not_given_twice_while_it_is_under_way() -> None:
    async with _played() as server:
        server.load()
        server.load()
        await server.taken_are(1)
        await server.answer()
        server.unload()
        server.unload()
        await server.taken_are(2)
        await server.answer()
        (_, load), (verb, unload) = server.taken
        assert load["parameters"].items() >= {"forebay_artifact": "/store/artifact", "forebay_sequence": 7}.items()
        assert (verb, unload["parameters"]) == ("unload", {"forebay_version": 1, "forebay_sequence": 8})


async def test_a_refusal_stays_with_its_time_until_it_is_unloaded_though_no_page_shows_it() -> None:
    async with _played() as server:
        server.load()
        await server.taken_are(1)
        await server.answer(refusal="no such artifact")
        server.orders.pages_show((LOADING,))
        server.orders.pages_show(())
        assert server.orders.holdings() == (replace(FAILED, reason="no such artifact", failed_at=100.0),)
        server.unload()
        assert server.orders.holdings() == ()


async def test_a_failure_that_only_the_pages_tell_of_is_dated_and_settled_by_an_unload_while_they_still_show_it() -> None:
    async with _played() as server:
        failed = replace(FAILED, refused_bytes=8 << 30)
        server.orders.pages_show((failed,))
        assert server.orders.holdings() == (replace(failed, failed_at=100.0),)
        server.unload()
        assert server.orders.holdings() == ()
        server.orders.pages_show((FAILED,))
        assert server.orders.holdings() == ()


async def test_a_failure_of_before_is_not_the_answer_to_a_new_load() -> None:
    async with _played() as server:
        server.orders.pages_show((FAILED,))
        server.load()
        assert server.phases == [HoldingPhase.LOADING]
        await server.taken_are(1)
        await server.answer()
        server.orders.pages_show((FAILED,))
        assert server.phases == [HoldingPhase.LOADING]
        server.orders.pages_show((READY,))
        server.orders.pages_show(())
        assert server.orders.holdings() == ()


async def test_a_server_that_does_not_answer_refuses_nothing() -> None:
    async with _played() as server:
        server.address = "127.0.0.1:1"
        server.load()
        await server.is_told()
        server.orders.pages_show(())
        server.orders.pages_show(())
        assert server.orders.holdings() == ()
