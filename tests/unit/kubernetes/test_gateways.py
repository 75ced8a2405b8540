"""Several gateways: their demand adds up, and none is forgotten when it goes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from forebay_operator.domain.snapshot import GatewayDemand
from forebay_operator.manifests.kinds import PODS
from forebay_operator.worlds.kubernetes.gateways import Gateways
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import DemandLine, ModelDemand
from forebay_schema.network import address_for
from kubernetes_builders import Json, an_object

ADDRESS = ModelAddress("default", "digits")


class Played:
    """A gateway that says what it is told to, and again and again as gateways do: one that is silent is not believed."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.port = 0
        self._latest = asyncio.Event()
        self._model: ModelDemand | None = None
        self._routes = ""
        self._sequence = 0

    def say(self, *, held: int = 0, in_flight: int = 0, arrivals: int = 0, routes: str = "") -> None:
        self._model = ModelDemand(namespace="default", name="digits", held=held, in_flight=in_flight, arrivals=arrivals)
        self._routes = routes
        self._latest.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._latest.wait(), 0.5)
            self._latest.clear()
            if self._model is not None:
                await response.write(self._line(self._model))

    def _line(self, model: ModelDemand) -> bytes:
        self._sequence += 1
        line = DemandLine(gateway=self.name, sequence=self._sequence, routes=self._routes, models=(model,))
        return f"{line.to_json()}\n".encode()

    def pod(self, *, running: bool = True) -> Seen:
        spec = {"containers": [{"name": "gateway", "ports": [{"name": "control", "containerPort": self.port}]}]}
        state: Json = {"running": {}} if running else {"waiting": {}}
        status = {"podIP": self.address, "containerStatuses": [{"name": "gateway", "state": state}]}
        return Seen.of(an_object(PODS, self.name, metadata={"uid": self.name}, spec=spec, status=status))


class Scene:
    def __init__(self) -> None:
        self.pods: list[Seen] = []
        self.changes = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.gateways = Gateways(self, loop.time, self.changes.set)

    async def find(self) -> list[Seen]:
        return self.pods

    async def wait_for(self, demand: GatewayDemand) -> None:
        async with asyncio.timeout(60):
            while (self.gateways.demand() or {}).get(ADDRESS) != demand:  # noqa: ASYNC110 - time bears on it, too
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _played(*names: str, address: str = "127.0.0.1") -> AsyncGenerator[list[Played]]:
    gateways, runners = [Played(name, address) for name in names], list[web.AppRunner]()
    for gateway in gateways:
        app = web.Application()
        app.router.add_get("/demand", gateway.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, address, 0).start()
        gateway.port = runner.addresses[0][1]
        runners.append(runner)
    try:
        yield gateways
    finally:
        for runner in runners:
            await runner.cleanup()


@asynccontextmanager
async def _scene() -> AsyncGenerator[Scene]:
    scene = Scene()
    listening = asyncio.ensure_future(scene.gateways.run())
    try:
        yield scene
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@pytest.mark.skipif(address_for("any") != "::", reason="this kernel has no IPv6")
async def test_a_gateway_is_heard_whose_pod_has_an_address_of_ipv6() -> None:
    async with _played("a", address="::1") as (one,), _scene() as scene:
        scene.pods = [one.pod()]
        one.say(held=2, arrivals=3)
        await scene.wait_for(GatewayDemand(held=2, arrivals=3))


async def test_the_demand_of_several_gateways_adds_up_and_arrivals_of_one_that_goes_are_kept() -> None:
    async with _played("a", "b") as (one, other), _scene() as scene:
        scene.pods = [one.pod(), other.pod()]
        one.say(held=2, in_flight=3, arrivals=10)
        other.say(held=1, arrivals=5)
        await scene.wait_for(GatewayDemand(held=3, in_flight=3, arrivals=15))
        scene.pods = [other.pod()]
        await scene.wait_for(GatewayDemand(held=1, in_flight=0, arrivals=15))


async def test_a_gateway_that_starts_again_counts_on_from_where_it_was() -> None:
    async with _played("a") as (gateway,), _scene() as scene:
        scene.pods = [gateway.pod()]
        gateway.say(arrivals=10)
        await scene.wait_for(GatewayDemand(arrivals=10))
        gateway.name = "a-again"
        gateway.say(arrivals=2)
        await scene.wait_for(GatewayDemand(arrivals=12))


async def test_models_that_left_the_routes_are_forgotten_at_gateways_that_run_and_at_those_that_are_gone() -> None:
    async with _played("a", "b") as (one, other), _scene() as scene:
        scene.pods = [one.pod(), other.pod()]
        one.say(in_flight=2, arrivals=10)
        other.say(arrivals=5)
        await scene.wait_for(GatewayDemand(in_flight=2, arrivals=15))
        scene.pods = [other.pod()]
        await scene.wait_for(GatewayDemand(arrivals=15))
        scene.gateways.forget_all_but({ADDRESS})
        assert scene.gateways.demand() == {ADDRESS: GatewayDemand(arrivals=15)}
        scene.gateways.forget_all_but(set())
        assert scene.gateways.demand() == {}


async def test_routes_are_acknowledged_as_far_as_the_slowest_running_gateway_has_come() -> None:
    async with _played("a", "b", "c") as (one, other, third), _scene() as scene:
        assert scene.gateways.acknowledged() is not None
        scene.pods = [one.pod(), other.pod(), third.pod(running=False)]
        one.say(held=1, routes="20")
        await scene.wait_for(GatewayDemand(held=1))
        assert scene.gateways.acknowledged() is None
        other.say(held=1, routes="7")
        await scene.wait_for(GatewayDemand(held=2))
        assert scene.gateways.acknowledged() == 7
        # A line without a version says nothing new of the routes.
        other.say(held=2)
        await scene.wait_for(GatewayDemand(held=3))
        assert scene.gateways.acknowledged() == 7


async def test_where_no_gateway_is_heard_demand_is_unknown() -> None:
    async with _scene() as scene:
        assert scene.gateways.demand() is None


async def test_a_request_that_is_newly_held_is_news() -> None:
    async with _played("a") as (gateway,), _scene() as scene:
        scene.pods = [gateway.pod()]
        gateway.say()
        await scene.wait_for(GatewayDemand())
        scene.changes.clear()
        gateway.say(held=1)
        async with asyncio.timeout(60):
            await scene.changes.wait()
