"""Servers as the control step sees them: real runtime processes on simulated devices."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from forebay_operator.domain.actions import LoadReplica, ResizePool, UnloadReplica
from forebay_operator.domain.deployment import Serving
from forebay_operator.domain.snapshot import DeviceClass, Holding, HoldingPhase, Pool, Server, ServerPhase
from forebay_operator.worlds.local.devices import Device
from forebay_operator.worlds.local.servers import Servers
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_schema.addresses import ModelAddress
from local_processes import until

DEVICE = Device(0, DeviceClass(kind="simulated", name="simulated", memory_bytes=1 << 30), "simulated:1Gi")
POOL = Pool(namespace="default", device=DEVICE.device)
LOAD = LoadReplica(
    server="",
    address=ModelAddress("default", "digits"),
    version=1,
    digest="0" * 64,
    serving=Serving(),
    memory_limit_bytes=1 << 30,
    sequence=1,
)


@pytest.fixture
async def servers(around: Surroundings) -> AsyncGenerator[Servers]:
    """Of one simulated device."""
    opened = Servers(around, [DEVICE], start_timeout_s=60)
    opened.open()
    yield opened
    await opened.close()


async def a_ready_server(servers: Servers) -> Server:
    servers.resize(ResizePool(pool=POOL, servers=1))
    await until(lambda: any(seen.phase is ServerPhase.READY for seen in servers.seen()), "a ready server")
    return servers.seen()[0]


def holdings(servers: Servers) -> dict[int, Holding]:
    return {holding.version: holding for server in servers.seen() for holding in server.holdings}


async def test_a_server_starts_once_however_often_it_is_asked_for(servers: Servers) -> None:
    server = await a_ready_server(servers)

    servers.resize(ResizePool(pool=POOL, servers=1))
    servers.resize(ResizePool(pool=POOL, servers=2))

    assert [seen.name for seen in servers.seen()] == [server.name]
    assert server.endpoint is not None
    assert server.observed_at is not None


async def test_a_load_that_is_refused_shows_as_failed_with_the_reason_and_time(servers: Servers) -> None:
    server = await a_ready_server(servers)

    servers.load(replace(LOAD, server=server.name), "/nowhere/artifact")

    assert holdings(servers)[1].phase is HoldingPhase.LOADING
    await until(lambda: holdings(servers)[1].phase is HoldingPhase.FAILED, "the refusal")
    failed = holdings(servers)[1]
    assert "/nowhere/artifact" in failed.reason
    assert failed.failed_at is not None


async def test_a_failed_load_is_forgotten_when_it_is_unloaded(servers: Servers) -> None:
    server = await a_ready_server(servers)
    servers.load(replace(LOAD, server=server.name), "/nowhere/artifact")
    await until(lambda: holdings(servers)[1].phase is HoldingPhase.FAILED, "the refusal")

    servers.unload(UnloadReplica(server=server.name, address=LOAD.address, version=1, sequence=2))

    await until(lambda: not holdings(servers), "nothing held")


async def test_only_named_servers_are_drained_and_their_device_is_free_when_they_are_gone(servers: Servers) -> None:
    server = await a_ready_server(servers)

    servers.resize(ResizePool(pool=POOL, servers=0))
    assert servers.seen()[0].phase is ServerPhase.READY
    servers.resize(ResizePool(pool=POOL, servers=0, victims=(server.name,)))

    assert servers.seen()[0].phase is ServerPhase.DRAINING
    await until(lambda: not servers.seen(), "its end")
    assert (await a_ready_server(servers)).name != server.name


async def test_a_server_that_cannot_start_says_why_and_is_tried_again_after_a_pause(around: Surroundings) -> None:
    broken = Servers(around, [replace(DEVICE, argument="nonsense")], start_timeout_s=60)
    broken.open()
    names: set[str] = set()

    def has_given_up() -> bool:
        broken.resize(ResizePool(pool=POOL, servers=1))
        names.update(seen.name for seen in broken.seen())
        return any(seen.phase is ServerPhase.LOST for seen in broken.seen())

    await until(has_given_up, "it is lost")
    assert "'nonsense' is no device" in broken.seen()[0].message
    lost = broken.seen()[0].name
    await until(lambda: not has_given_up() or broken.seen()[0].name != lost, "another try")
    await broken.close()
