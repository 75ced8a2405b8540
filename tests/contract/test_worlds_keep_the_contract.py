"""What the control step relies on, of every world: the simulated, the local and the Kubernetes one."""

import dataclasses

import pytest

from contract_witness import (
    Witness,
    conversion_of,
    deployment_of,
    has_ended,
    has_failed,
    holding_of,
    is_ready,
    ready_servers,
    server_of,
    start_of,
)
from forebay_operator.domain.actions import ForgetConversion, ResizePool, SetRoutes, UnloadReplica, WriteStatus
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.routes import Endpoint, named, routed
from forebay_operator.domain.snapshot import ConversionPhase, HoldingPhase, Server, ServerPhase, Snapshot
from forebay_operator.domain.status import DeploymentStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOWHERE = Endpoint("127.0.0.1", 9, 9)


def a_status(deployment: Deployment, summary: str) -> WriteStatus:
    """That all requests go to an endpoint at which nobody listens."""
    status = DeploymentStatus(
        observed_generation=deployment.generation,
        revision=1,
        replicas=1,
        ready_replicas=1,
        selector="",
        summary=summary,
        traffic=routed(deployment.address, 1, [NOWHERE]).versions,
    )
    return WriteStatus(address=deployment.address, uid=deployment.uid, status=status)


async def test_a_server_starts_once_and_is_seen_starting_then_ready_with_its_device(witness: Witness) -> None:
    await witness.apply("converted")
    before = {server.name for server in witness.look().servers}
    order = ResizePool(pool=witness.site.pool, servers=len(before) + 1)

    def new(seen: Snapshot) -> list[Server]:
        return [server for server in seen.servers if server.name not in before]

    witness.site.world.act([order])
    (starting,) = new(witness.look())
    snapshot = await witness.until(lambda seen: any(each in ready_servers(seen) for each in new(seen)), "it", order)

    (server,) = new(snapshot)
    assert (starting.phase, starting.pool) == (ServerPhase.STARTING, witness.site.pool)
    assert server.pool == witness.site.pool
    assert server.pool.device in {each.device for each in snapshot.capacity}
    assert server.endpoint is not None
    assert server.observed_at is not None
    assert server.started_at <= server.observed_at <= snapshot.now


async def test_a_snapshot_is_frozen_and_stays_as_it_was_whatever_is_done(witness: Witness) -> None:
    await witness.loaded(await witness.a_ready_server(), "before")
    snapshot, copy = witness.kept()

    await witness.loaded(await witness.a_ready_server(), "after")

    assert snapshot == copy
    assert witness.look() != copy
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.now = 0.0  # type: ignore[misc]  # what is tried here


async def test_a_conversion_ordered_again_and_again_runs_once(witness: Witness) -> None:
    artifact = await witness.an_artifact()
    start = start_of(await witness.apply("converted"))
    before = witness.look()
    ended = conversion_of(before, start)

    after = await witness.until(lambda seen: seen.now > before.now + 1.0, "time to pass", start)

    assert ended is not None
    assert conversion_of(after, start) == ended
    assert (ended.phase, ended.attempt, ended.failure) == (ConversionPhase.SUCCEEDED, 1, None)
    assert ended.artifact == artifact
    assert artifact.memory_bytes > 0
    assert ended.finished_at is not None
    assert ended.started_at <= ended.finished_at <= after.now


async def test_a_conversion_that_fails_says_why_and_is_tried_again_only_as_a_new_attempt(witness: Witness) -> None:
    deployment = await witness.apply("nowhere", witness.site.nowhere)
    first, second = start_of(deployment), start_of(deployment, attempt=2)

    await witness.until(lambda seen: has_ended(seen, first), "the first attempt", first)
    snapshot = await witness.until(lambda seen: has_ended(seen, second), "the second attempt", second)
    # An order for an attempt of long ago comes late.
    await witness.until(lambda seen: seen.now > snapshot.now + 1.0, "time to pass", first)

    found = conversion_of(witness.look(), first)
    assert found is not None
    assert (found.phase, found.attempt, found.artifact) == (ConversionPhase.FAILED, 2, None)
    assert found.failure is not None
    assert found.failure.stage == "fetch"
    assert found.failure.cause
    assert found.failure.remedy
    forget = ForgetConversion(id=first.id)
    await witness.site.delete("nowhere")
    await witness.until(lambda seen: conversion_of(seen, first) is None, "the conversion to be forgotten", forget)


async def test_a_load_is_under_way_until_it_is_ready_with_the_memory_that_it_takes(witness: Witness) -> None:
    order = await witness.a_load(await witness.a_ready_server())
    phases: list[HoldingPhase] = []

    def is_loaded(seen: Snapshot) -> bool:
        holding = holding_of(seen, order)
        phases.extend([holding.phase] if holding else [])
        return is_ready(seen, order)

    snapshot = await witness.until(is_loaded, "the load", order)

    held = [each for server in snapshot.servers for each in server.holdings if each.version == order.version]
    assert set(phases) <= {HoldingPhase.LOADING, HoldingPhase.READY}
    assert len(held) == 1
    assert (held[0].model, held[0].digest) == (order.address.name, order.digest)
    assert held[0].footprint_bytes
    assert held[0].provider
    await witness.unload(order)


async def test_a_load_that_cannot_be_is_shown_as_failed_with_reason_and_time_until_it_is_unloaded(witness: Witness) -> None:
    order = await witness.a_load(await witness.a_ready_server(), "broken", digest="0" * 64)

    snapshot = await witness.until(lambda seen: has_failed(seen, order), "the refusal", order)

    failed = holding_of(snapshot, order)
    assert failed is not None
    assert failed.reason
    assert failed.failed_at is not None
    assert failed.failed_at <= snapshot.now
    await witness.unload(order)


async def test_an_order_that_is_older_than_one_that_was_followed_is_ignored(witness: Witness) -> None:
    server = await witness.a_ready_server()
    outdated = witness.next_sequence()
    order = await witness.loaded(server, "ordered")
    late = UnloadReplica(server=server.name, address=order.address, version=order.version, sequence=outdated)

    witness.site.world.act([late])
    newer = await witness.a_load(server, "ordered")
    snapshot = await witness.until(lambda seen: is_ready(seen, newer), "the newer version", late, newer)

    assert is_ready(snapshot, order)
    await witness.unload(order)
    await witness.unload(newer)


async def test_an_unloaded_version_goes_when_all_requests_in_it_are_answered(witness: Witness) -> None:
    server = await witness.a_ready_server()
    order = await witness.loaded(server, "asked")
    requests = 15
    answered = witness.site.ask(server, order.address, order.version, requests)

    def all_have_come(seen: Snapshot) -> bool:
        holding = holding_of(seen, order)
        figures = (holding.waiting, holding.executing, holding.completed) if holding else ()
        return sum(figure or 0 for figure in figures) >= requests

    await witness.until(all_have_come, "the requests to come")
    await witness.unload(order)

    assert await answered == requests


async def test_routes_and_statuses_that_are_ordered_are_seen_and_acknowledged(witness: Witness) -> None:
    deployment = await witness.apply("routed")
    route = routed(deployment.address, 1, [NOWHERE])
    status = a_status(deployment, "Ready: 1 of 1 replicas.")

    def is_acknowledged(seen: Snapshot) -> bool:
        found = deployment_of(seen, deployment.address)
        entries = named(seen.routes_acknowledged or ()).get(deployment.address)
        return entries == frozenset({(1, NOWHERE)}) and found is not None and found.status is not None

    await witness.until(lambda seen: seen.demand is not None, "a gateway to be heard")
    snapshot = await witness.until(is_acknowledged, "the routes to be acknowledged", SetRoutes(routes=(route,)), status)

    found = deployment_of(snapshot, deployment.address)
    assert found is not None
    assert found.status == status.status
    assert [each for each in snapshot.routes if each.address == deployment.address] == [route]
    await witness.site.delete("routed")
    await witness.until(lambda seen: deployment_of(seen, deployment.address) is None, "it to vanish", SetRoutes(routes=()))


async def test_a_server_whose_process_is_gone_is_not_taken_for_ready_and_another_one_has_another_name(
    witness: Witness,
) -> None:
    server = await witness.a_ready_server()
    names = {each.name for each in witness.look().servers}

    await witness.site.lose(server)

    def is_lost(seen: Snapshot) -> bool:
        found = server_of(seen, server.name)
        return found is None or found.phase in (ServerPhase.LOST, ServerPhase.DRAINING)

    await witness.until(is_lost, "its loss to be seen")
    await witness.until(lambda seen: server_of(seen, server.name) is None, "its end")
    order = ResizePool(pool=witness.site.pool, servers=1)
    await witness.until(lambda seen: {each.name for each in seen.servers} - names, "another server", order)


async def test_what_is_kept_is_seen_again_by_a_controller_that_starts(witness: Witness) -> None:
    server = await witness.a_ready_server()
    order = await witness.loaded(server, "kept")
    deployment = await witness.apply("kept")
    status = a_status(deployment, "Ready: 1 of 1 replicas.")
    start = start_of(deployment)
    await witness.until(lambda seen: has_ended(seen, start), "the conversion", start)

    def has_status(seen: Snapshot) -> bool:
        found = deployment_of(seen, deployment.address)
        return found is not None and found.status is not None

    before = await witness.until(has_status, "the status", status)
    await witness.site.restart()

    after = witness.look()
    found = deployment_of(after, deployment.address)
    assert found is not None
    assert (found.uid, found.spec, found.status) == (deployment.uid, deployment.spec, status.status)
    assert conversion_of(after, start) == conversion_of(before, start)
    assert {each.name for each in after.servers} <= {each.name for each in before.servers}
    await witness.until(lambda seen: is_ready(seen, order) is witness.site.keeps_servers, "what servers hold to be seen")
    await witness.until(lambda seen: order.digest in {each.digest for each in seen.artifacts}, "the store to be read")
