"""The whole step, in a world that does at once what it is told."""

from dataclasses import replace
from typing import Any

import pytest

from domain_builders import (
    CPU,
    DIGITS,
    GIB,
    GPU,
    SIMULATED,
    ObedientWorld,
    a_deployment,
    a_holding,
    a_server,
    a_spec,
    a_world,
    an_address,
)
from forebay_operator.domain.actions import (
    CollectArtifact,
    ForgetConversion,
    LoadReplica,
    ResizePool,
    SetRoutes,
    StartConversion,
    UnloadReplica,
    WriteStatus,
)
from forebay_operator.domain.deployment import Autoscaling, DeploymentSpec, Placement, Serving, Source
from forebay_operator.domain.memory import Memory
from forebay_operator.domain.routes import Route, RouteState
from forebay_operator.domain.snapshot import (
    Capacity,
    ConversionFailure,
    HoldingPhase,
    Pool,
    ServerPhase,
    Settings,
)
from forebay_operator.domain.status import ConditionStatus, ConditionType, FootprintSource
from forebay_operator.domain.step import step
from forebay_schema.addresses import ModelAddress

OTHER = an_address("other")


def a_settled_world(
    spec: DeploymentSpec | None = None,
    *,
    devices: int = 2,
    settings: Settings | None = None,
    capacity: tuple[Capacity, ...] = (),
) -> ObedientWorld:
    limits = capacity or (Capacity(device=SIMULATED, servers=devices),)
    world = a_world(a_deployment(spec=spec), capacity=limits, settings=settings or Settings())
    world.settle()
    return world


def route(world: ObedientWorld, address: ModelAddress = DIGITS) -> Route:
    return next(route for route in world.snapshot.routes if route.address == address)


def condition(world: ObedientWorld, kind: ConditionType) -> tuple[str, str]:
    found = next(each for each in world.status().conditions if each.type is kind)
    return found.status.value, found.reason


def versions_routed(world: ObedientWorld) -> list[int]:
    return [entry.version for entry in route(world).versions]


# From a ModelDeployment to a served model.


def test_a_model_is_converted_placed_loaded_and_routed() -> None:
    world = a_settled_world()
    assert world.ready() == [1]
    assert route(world).state is RouteState.ROUTED
    status = world.status()
    assert status.summary == "Ready: 1 of 1 replica on 1 simulated GPU, queue 0.0 per replica."
    assert (status.revision, status.replicas, status.ready_replicas, status.provider) == (1, 1, 1, "cpu")
    assert status.footprint is not None
    assert status.footprint.source is FootprintSource.MEASURED
    assert {each.status for each in status.conditions if each.type is not ConditionType.AUTOSCALING} == {ConditionStatus.TRUE}


def test_a_settled_world_stays_as_it_is() -> None:
    world = a_settled_world(a_spec(autoscaling=Autoscaling(min_replicas=1)))
    for _ in range(200):
        assert not world.step().actions


def test_servers_hear_of_a_revision_only_once_it_is_in_the_written_status() -> None:
    world = a_world(a_deployment())
    world.keeps = lambda action: not isinstance(action, WriteStatus)
    for _ in range(10):
        world.step()
    assert world.ordered(StartConversion)
    assert not world.ordered(LoadReplica)


def test_two_models_with_the_same_source_are_converted_once() -> None:
    world = a_world(a_deployment(), a_deployment(OTHER))
    result = world.step()
    assert len([each for each in result.actions if isinstance(each, StartConversion)]) == 1
    world.settle()
    assert len(world.ordered(StartConversion)) == 1
    assert world.ready() == world.ready(OTHER) == [1]


def test_a_conversion_is_forgotten_once_its_result_is_written() -> None:
    world = a_settled_world()
    assert len(world.ordered(ForgetConversion)) == 1
    assert not world.snapshot.conversions


def test_requests_are_held_before_there_is_a_replica() -> None:
    world = a_world(a_deployment())
    world.step()
    assert route(world).state is RouteState.HELD


def test_routes_are_sorted_by_address() -> None:
    world = a_world(a_deployment(OTHER), a_deployment())
    world.settle()
    assert [each.address for each in world.snapshot.routes] == [DIGITS, OTHER]


# What goes wrong on the way.


def test_a_conversion_that_fails_is_told_with_cause_and_remedy() -> None:
    world = a_world(a_deployment())
    world.failing_sources["data:a"] = ConversionFailure(stage="fetch", cause="No such file.", remedy="Correct the URI.")
    world.settle()
    assert world.status().summary == "Not ready: its conversion failed at fetch: No such file. Correct the URI."
    assert condition(world, ConditionType.CONVERTED) == ("False", "ConversionFailed")
    assert len(world.ordered(StartConversion)) == 1
    world.change(DIGITS, source=Source(uri="data:b"))
    world.settle()
    assert world.ready() == [2]


def test_a_conversion_that_may_succeed_later_is_tried_again() -> None:
    world = a_world(a_deployment())
    world.failing_sources["data:a"] = ConversionFailure(stage="fetch", cause="c", remedy="r", retryable=True)
    for _ in range(35):
        world.step()
    starts = [each for each in world.ordered(StartConversion) if isinstance(each, StartConversion)]
    assert [start.attempt for start in starts] == [1, 2, 3]
    world.failing_sources.clear()
    for _ in range(100):
        world.step()
    assert world.ready() == [1]


def test_a_load_that_fails_is_tried_on_another_server_before_this_one_again() -> None:
    world = a_world(a_deployment(), servers=[a_server("s-1")])
    world.failing_servers.add("s-1")
    for _ in range(12):
        world.step()
    loads = [each.server for each in world.ordered(LoadReplica) if isinstance(each, LoadReplica)]
    assert loads[0] == "s-1"
    assert "s-1" not in loads[1:]
    assert world.ready() == [1]
    assert world.holding("s-1") == []
    assert not next(each for each in world.snapshot.servers if each.name == "s-1").holdings


def test_a_load_that_always_fails_is_tried_with_growing_pauses_on_two_servers_at_most() -> None:
    world = a_world(a_deployment(), devices=5)
    world.failing_loads.add(("digits", 1))
    for _ in range(100):
        world.step()
    assert world.servers_started == 2
    assert len(world.ordered(LoadReplica)) <= 9
    assert "its load failed on new-" in world.status().summary
    assert "out of luck" in world.status().summary
    assert condition(world, ConditionType.READY) == ("False", "LoadFailed")


def test_a_load_that_fails_starts_no_server_after_the_other_when_those_it_failed_on_are_lost() -> None:
    world = a_world(a_deployment(), devices=5)
    world.failing_loads.add(("digits", 1))
    for _ in range(300):
        failed = {each.name for each in world.snapshot.servers if each.holdings}
        world.step()
        world.snapshot = replace(
            world.snapshot, servers=tuple(each for each in world.snapshot.servers if each.name not in failed)
        )
    assert 4 <= world.servers_started <= 8
    assert "out of luck" in world.status().summary
    world.failing_loads.clear()
    world.change(DIGITS, source=Source(uri="data:b"))
    for _ in range(10):
        world.step()
    assert world.ready() == [2]


def test_a_load_that_was_found_to_need_more_than_any_device_has_starts_no_more_servers() -> None:
    world = a_world(a_deployment(), devices=5)
    world.refused_bytes["digits"] = 17 * GIB
    for _ in range(400):
        world.step()
    assert world.servers_started == 1
    assert world.snapshot.servers == ()
    assert world.status().summary == (
        "Not ready: a replica needs 17.0 GiB, the largest device (simulated) has 16.0 GiB: "
        "use a smaller model or a smaller maxBatchSize, or add a larger device."
    )
    larger = Capacity(device=replace(SIMULATED, name="larger", memory_bytes=24 * GIB), servers=1)
    world.refused_bytes.clear()
    world.snapshot = replace(world.snapshot, capacity=(*world.snapshot.capacity, larger))
    world.settle()
    assert world.ready() == [1]


def test_a_model_made_anew_does_not_inherit_the_failures_of_one_that_is_deleted() -> None:
    world = a_world(a_deployment(), devices=5)
    world.failing_loads.add(("digits", 1))
    for _ in range(10):
        world.step()
    world.failing_loads.clear()
    made_anew = a_deployment(spec=a_spec("data:b"), uid="another")
    world.snapshot = replace(world.snapshot, servers=(), deployments=(made_anew,))
    for _ in range(5):
        world.step()
    assert world.ready() == [1]


def test_a_model_that_fits_no_device_is_told_the_numbers() -> None:
    world = a_settled_world(a_spec(placement=Placement(memory_bytes=20 * GIB)))
    assert world.status().summary.startswith(
        "Not ready: a replica needs 20.0 GiB, the largest device (simulated) has 16.0 GiB: "
    )
    assert condition(world, ConditionType.PLACED) == ("False", "NoRoom")


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"replicas": 3}, "replicas"), ({"autoscaling": Autoscaling(min_replicas=3, max_replicas=3)}, "maxReplicas")],
    ids=["fixed", "scaled"],
)
def test_a_model_with_too_few_devices_is_told_which_field_to_lower(asked: dict[str, Any], field: str) -> None:
    world = a_settled_world(a_spec(**asked), devices=2)

    assert world.status().summary == (
        "Ready: 2 of 3 replicas on 2 simulated GPUs; for the rest: there are 2 devices, with one replica each already: "
        f"free memory, lower {field}, or add a device."
    )


def test_a_model_without_room_waits_and_is_told_why() -> None:
    big = a_spec("data:b", placement=Placement(memory_bytes=10 * GIB))
    world = a_world(a_deployment(OTHER, big), a_deployment(spec=replace(big, source=Source(uri="data:c"))), devices=1)
    world.footprint_bytes = {"other": 10 * GIB, "digits": 10 * GIB}
    world.settle()
    assert world.ready() == [1]
    assert world.status(OTHER).summary == (
        "Not ready: a replica needs 10.0 GiB, the only device has 6.0 GiB free: free memory or add a device."
    )
    world.change(DIGITS, stopped=True)
    world.settle()
    assert world.ready(OTHER) == [1]


def test_a_provider_that_the_device_cannot_be_is_refused() -> None:
    world = a_settled_world(a_spec(serving=Serving(provider="cuda")))
    assert world.status().summary == (
        "Not ready: serving.provider is cuda, which a simulated GPU cannot be: set it to auto, or add an NVIDIA GPU."
    )


def test_gpus_are_preferred_to_the_cpu() -> None:
    capacity = tuple(Capacity(device=device, servers=2) for device in (CPU, GPU))
    world = a_settled_world(capacity=capacity)
    assert [each.pool.device for each in world.snapshot.servers] == [GPU]


def test_a_server_that_is_lost_is_replaced_and_routed_around_at_once() -> None:
    world = a_settled_world(a_spec(replicas=2), devices=3)
    lost = world.snapshot.servers[0]
    servers = (replace(lost, phase=ServerPhase.LOST), *world.snapshot.servers[1:])
    world.snapshot = replace(world.snapshot, servers=servers)
    world.step()
    endpoints = [endpoint for entry in route(world).versions for endpoint in entry.endpoints]
    assert endpoints == [servers[1].endpoint]
    world.settle()
    assert world.status().ready_replicas == 2


def test_what_the_world_could_not_do_is_added_to_the_summary() -> None:
    world = a_settled_world()
    world.snapshot = replace(
        world.snapshot, deployments=(replace(world.deployment(), trouble="the name digits is taken: choose another."),)
    )
    world.settle()
    ready = "Ready: 1 of 1 replica on 1 simulated GPU, queue 0.0 per replica."
    assert world.status().summary == f"{ready} But the name digits is taken: choose another."
    world.snapshot = replace(world.snapshot, deployments=(replace(world.deployment(), trouble=""),))
    world.settle()
    assert world.status().summary == ready


def test_a_lost_server_keeps_its_device_until_the_world_removes_it() -> None:
    world = a_settled_world(a_spec(replicas=2))
    lost = world.snapshot.servers[0]
    world.snapshot = replace(world.snapshot, servers=(replace(lost, phase=ServerPhase.LOST), *world.snapshot.servers[1:]))
    world.settle()
    assert world.servers_started == 2
    world.snapshot = replace(world.snapshot, servers=world.snapshot.servers[1:])
    world.settle()
    assert world.servers_started == 3
    assert world.status().ready_replicas == 2


# From one revision to the next.


def change_source(world: ObedientWorld, uri: str = "data:b") -> None:
    world.change(DIGITS, source=Source(uri=uri))


def test_a_new_revision_is_loaded_beside_the_old_one_in_the_same_server() -> None:
    world = a_settled_world(devices=1)
    change_source(world)
    seen = set[tuple[tuple[int, ...], tuple[int, ...]]]()
    for _ in range(12):
        world.step()
        seen.add((tuple(world.ready()), tuple(versions_routed(world))))
    assert seen == {((1,), (1,)), ((1, 2), (1,)), ((1, 2), (2,)), ((2,), (2,))}
    assert world.status().revision == 2
    assert [record.number for record in world.status().revisions] == [2]


def a_world_whose_gateways_stay_behind() -> ObedientWorld:
    """Revision 2 is ready, and requests still go to revision 1."""
    world = a_settled_world()
    world.keeps = lambda action: not isinstance(action, SetRoutes)
    change_source(world)
    for _ in range(6):
        world.step()
        if world.status().revision == 2:
            return world
    raise AssertionError("revision 2 does not get ready")


def test_a_new_revision_is_called_ready_once_gateways_send_requests_there() -> None:
    world = a_world_whose_gateways_stay_behind()
    assert condition(world, ConditionType.READY) == ("False", "GatewaysFollow")
    assert world.status().summary == (
        "Nearly ready: 1 of 1 replica on 1 simulated GPU, and gateways are about to send requests there."
    )
    world.keeps = lambda _: True
    world.settle()
    assert condition(world, ConditionType.READY) == ("True", "Serving")
    assert world.ready() == [2]


def test_gateways_that_do_not_follow_or_are_not_heard_keep_no_revision_from_being_called_ready_for_long() -> None:
    world = a_world_whose_gateways_stay_behind()
    for _ in range(11):
        world.step()
    assert condition(world, ConditionType.READY) == ("True", "Serving")
    assert world.ready() == [1, 2], "requests still go to revision 1"

    unheard = a_world_whose_gateways_stay_behind()
    unheard.snapshot = replace(unheard.snapshot, routes_acknowledged=None)
    unheard.step()
    assert condition(unheard, ConditionType.READY) == ("True", "Serving")


def test_a_model_that_is_ready_stays_so_while_gateways_follow_a_replica_more() -> None:
    world = a_settled_world()
    world.keeps = lambda action: not isinstance(action, SetRoutes)
    world.change(DIGITS, replicas=2)
    for _ in range(6):
        world.step()
        assert condition(world, ConditionType.READY) == ("True", "Serving")
    assert world.status().ready_replicas == 2


def test_a_revision_whose_conversion_fails_leaves_the_old_one_serving() -> None:
    world = a_settled_world()
    world.failing_sources["data:b"] = ConversionFailure(stage="convert", cause="Unknown operator", remedy="Export it again")
    change_source(world)
    world.settle()
    assert versions_routed(world) == [1]
    assert world.status().summary == (
        "Revision 1 serves with 1 of 1 replica on 1 simulated GPU; revision 2: "
        "its conversion failed at convert: Unknown operator. Export it again."
    )
    assert condition(world, ConditionType.READY) == ("False", "ConversionFailed")


def test_at_zero_the_old_revision_still_answers_for_one_whose_conversion_fails() -> None:
    world = a_settled_world(a_spec(autoscaling=Autoscaling(min_replicas=0, idle_timeout_s=5.0)))
    world.failing_sources["data:b"] = ConversionFailure(stage="convert", cause="Unknown operator", remedy="Export it again")
    change_source(world)
    for _ in range(120):
        world.step()
    assert world.ready() == []
    assert world.status().summary == (
        "Ready at zero: the next request loads revision 1; revision 2: "
        "its conversion failed at convert: Unknown operator. Export it again."
    )


def test_a_revision_whose_load_fails_leaves_the_old_one_serving() -> None:
    world = a_settled_world()
    world.failing_loads.add(("digits", 2))
    change_source(world)
    for _ in range(60):
        world.step()
        assert world.ready() == [1]
    assert versions_routed(world) == [1]
    assert "revision 2: its load failed on" in world.status().summary
    change_source(world, "data:c")
    world.settle()
    assert world.ready() == [3]


def swap_world() -> ObedientWorld:
    world = a_world(a_deployment(), devices=1)
    world.footprint_bytes["digits"] = 10 * GIB
    world.settle()
    world.change(DIGITS, source=Source(uri="data:b"), placement=Placement(memory_bytes=10 * GIB))
    return world


def test_without_room_for_both_the_old_one_is_swapped_out_behind_the_hold() -> None:
    world = swap_world()
    states: list[tuple[RouteState, list[int]]] = []
    for _ in range(12):
        world.step()
        entry = (route(world).state, world.ready())
        if entry not in states:
            states.append(entry)
    assert states == [
        (RouteState.ROUTED, [1]),
        (RouteState.HELD, [1]),
        (RouteState.HELD, []),
        (RouteState.HELD, [2]),
        (RouteState.ROUTED, [2]),
    ]


def test_after_a_failed_swap_the_old_one_serves_again_and_no_other_swap_is_tried() -> None:
    world = swap_world()
    world.failing_loads.add(("digits", 2))
    for _ in range(200):
        world.step()
    assert world.ready() == [1]
    assert versions_routed(world) == [1]
    assert len([each for each in world.ordered(UnloadReplica) if isinstance(each, UnloadReplica) and each.version == 1]) == 1


def test_replicas_are_swapped_one_at_a_time_while_the_others_serve() -> None:
    world = a_world(a_deployment(spec=a_spec(replicas=2)), devices=2)
    world.footprint_bytes["digits"] = 10 * GIB
    world.settle()
    world.change(DIGITS, source=Source(uri="data:b"), placement=Placement(memory_bytes=10 * GIB))
    for _ in range(25):
        world.step()
        assert route(world).state is RouteState.ROUTED
    assert world.ready() == [2, 2]


def test_a_selector_finds_the_pods_of_an_exclusive_model_and_there_is_none_for_servers_that_models_share() -> None:
    world = a_settled_world()
    assert world.status().selector == ""
    world.change(DIGITS, placement=Placement(exclusive=True))
    world.settle()
    assert world.status().selector == "app.kubernetes.io/component=server,forebay.dev/model=digits"


def test_a_model_that_becomes_exclusive_moves_to_a_server_of_its_own() -> None:
    world = a_world(a_deployment(), a_deployment(OTHER), settings=Settings(server_idle_s=5.0))
    world.settle()
    assert len(world.snapshot.servers) == 1
    world.change(DIGITS, placement=Placement(exclusive=True))
    for _ in range(25):
        world.step()
        assert route(world).state is RouteState.ROUTED
    assert world.status().ready_replicas == 1
    assert {each.pool.exclusive for each in world.snapshot.servers if each.holdings} == {"", "digits"}


def test_going_back_takes_a_new_number_and_needs_no_conversion() -> None:
    world = a_settled_world()
    world.failing_sources["data:b"] = ConversionFailure(stage="convert", cause="c", remedy="r")
    change_source(world)
    world.settle()
    starts = len(world.ordered(StartConversion))
    change_source(world, "data:a")
    world.settle()
    assert world.ready() == [3]
    assert len(world.ordered(StartConversion)) == starts


# Stopping, deleting, collecting.


def test_a_model_that_is_stopped_is_unloaded_and_refused_with_the_reason() -> None:
    world = a_settled_world()
    world.change(DIGITS, stopped=True)
    world.settle()
    assert world.ready() == []
    assert route(world).state is RouteState.STOPPED
    assert route(world).reason == "The model is stopped: set spec.stopped to false to have it serve again."
    assert world.status().summary == "Stopped: set spec.stopped to false to serve again."
    world.change(DIGITS, stopped=False)
    world.settle()
    assert world.ready() == [1]


def delete(world: ObedientWorld) -> None:
    deleting = tuple(replace(each, deleting=True) for each in world.snapshot.deployments)
    world.snapshot = replace(world.snapshot, deployments=deleting)


def test_a_deleted_model_leaves_no_replica_route_or_conversion() -> None:
    world = a_settled_world()
    delete(world)
    for _ in range(4):
        world.step()
    assert world.ready() == []
    assert world.snapshot.routes == ()
    world.snapshot = replace(world.snapshot, deployments=())
    world.settle()
    assert not world.snapshot.conversions
    assert not world.memory.models
    assert not world.memory.cache.settled


def test_what_servers_hold_of_models_that_are_not_there_goes() -> None:
    world = a_world(servers=[a_server("s-1", a_holding("ghost"))])
    world.settle()
    assert not world.snapshot.servers[0].holdings


def test_an_artifact_is_collected_when_its_model_is_gone_for_the_grace_period() -> None:
    world = a_settled_world(settings=Settings(artifact_grace_s=30.0))
    assert world.snapshot.artifacts
    for _ in range(50):
        world.step()
    assert not world.ordered(CollectArtifact)
    world.snapshot = replace(world.snapshot, deployments=())
    for _ in range(45):
        world.step()
    assert len(world.ordered(CollectArtifact)) == 1
    assert not world.snapshot.artifacts


def test_a_replica_goes_only_when_no_gateway_sends_requests_there_any_more() -> None:
    world = a_settled_world()
    world.change(DIGITS, stopped=True)
    world.keeps = lambda action: not isinstance(action, SetRoutes)
    for _ in range(5):
        world.step()
    assert world.ready() == [1]
    world.snapshot = replace(world.snapshot, routes_acknowledged=None)
    for _ in range(5):
        world.step()
    assert world.ready() == [1]
    world.snapshot = replace(world.snapshot, routes_acknowledged=())
    for _ in range(2):
        world.step()
    assert world.ready() == []


# Scaling.


SCALED = a_spec(autoscaling=Autoscaling(max_replicas=2, scale_down_delay_s=5.0, idle_timeout_s=8.0))


def test_a_model_sleeps_until_a_request_is_held_and_goes_back_to_sleep() -> None:
    world = a_settled_world(SCALED)
    assert world.ready() == []
    assert route(world).state is RouteState.HELD
    assert world.status().summary == "Ready at zero: the next request loads it."
    assert condition(world, ConditionType.READY) == ("True", "AtZero")
    world.demand(held=1, arrivals=1)
    for _ in range(4):
        world.step()
    assert world.ready() == [1]
    assert route(world).state is RouteState.ROUTED
    world.demand(held=0)
    for _ in range(15):
        world.step()
    assert world.ready() == []
    assert route(world).state is RouteState.HELD
    assert [(each.from_replicas, each.to_replicas) for each in world.status().scaling.decisions] == [(0, 1), (1, 0)]  # type: ignore[union-attr]  # scaling is always said


def test_requests_that_come_shortly_before_a_step_outside_the_second_keep_a_model_from_sleeping() -> None:
    """They were counted while the decision of a second still stood, and were no news at the next one."""
    world = a_settled_world(a_spec(autoscaling=Autoscaling(max_replicas=2, idle_timeout_s=60.0)))
    world.demand(held=1, arrivals=1)
    for _ in range(4):
        world.step()
    world.demand(held=0)
    for _ in range(50):
        world.step()
    world.step(0.75)
    world.demand(arrivals=11)
    for seconds in (0.25, *[1.0] * 50):
        world.step(seconds)
    assert world.ready() == [1]
    for _ in range(15):
        world.step()
    assert world.ready() == []


def test_with_no_replicas_asked_for_nothing_is_said_to_be_ready() -> None:
    world = a_settled_world(a_spec(replicas=0))
    assert world.status().summary == (
        "Not served: spec.replicas is 0, so requests wait at the gateway and are refused after a while: raise it, or set "
        "autoscaling with minReplicas 0 to have a request load the model."
    )
    assert condition(world, ConditionType.READY) == ("False", "NoReplicas")
    world.demand(held=1, arrivals=1)
    world.settle()
    assert world.ready() == []
    assert route(world).state is RouteState.HELD


def test_the_last_five_decisions_are_kept_with_their_reasons() -> None:
    world = a_settled_world(a_spec(replicas=0))
    for replicas in (1, 0, 2, 0, 1, 2):
        world.change(DIGITS, replicas=replicas)
        world.settle()
    status = world.status()
    assert status.scaling is not None
    assert [each.to_replicas for each in status.scaling.decisions] == [0, 2, 0, 1, 2]
    assert status.scaling.decisions[-1].reason == "spec.replicas is 2."


def test_figures_alone_are_written_every_ten_seconds_at_most() -> None:
    world = a_settled_world()
    writes = 0
    for second in range(40):
        (server,) = world.snapshot.servers
        held = replace(server.holdings[0], waiting=second % 7)
        world.snapshot = replace(world.snapshot, servers=(replace(server, holdings=(held,)),))
        writes += sum(isinstance(action, WriteStatus) for action in world.step().actions)
    assert 3 <= writes <= 4
    assert "queue" in world.status().summary


def test_a_model_that_is_scaled_by_itself_from_now_on_begins_with_the_number_that_was_asked_for() -> None:
    world = a_world(a_deployment())
    while not world.ready():
        world.step()
    world.change(DIGITS, autoscaling=Autoscaling(min_replicas=0, max_replicas=3))
    world.snapshot = replace(world.snapshot, demand=None)
    world.settle()
    status = world.status()
    assert status.scaling is not None
    assert status.scaling.wanted == 1


def test_a_missing_signal_is_said_in_the_condition() -> None:
    world = a_settled_world(SCALED)
    world.snapshot = replace(world.snapshot, demand=None)
    for _ in range(15):
        world.step()
    found = next(each for each in world.status().conditions if each.type is ConditionType.AUTOSCALING)
    assert (found.status, found.reason) == (ConditionStatus.UNKNOWN, "SignalMissing")
    assert found.message == "Not known: held requests and arrivals."


# Loss of memory, lost and repeated orders.


def test_losing_the_memory_changes_nothing() -> None:
    world = a_world(a_deployment(spec=a_spec(replicas=2)), a_deployment(OTHER, SCALED))
    world.settle()
    world.memory = Memory()
    assert not world.step().actions
    for _ in range(30):
        assert not world.step().actions


def test_losing_the_memory_scales_nothing_down_at_once() -> None:
    world = a_settled_world(SCALED)
    world.demand(held=1, arrivals=1)
    for _ in range(4):
        world.step()
    world.demand(held=0)
    for _ in range(30):
        world.memory = Memory()
        world.step()
    assert world.ready() == [1]


@pytest.mark.parametrize("phase", [HoldingPhase.LOADING, HoldingPhase.FAILED])
def test_losing_the_memory_in_the_middle_of_a_rollout_asks_for_no_more_replicas(phase: HoldingPhase) -> None:
    """The old replica and the one that takes over from it were counted as two."""
    world = a_settled_world(a_spec(autoscaling=Autoscaling(min_replicas=1, max_replicas=3)))
    change_source(world)
    while len(world.ready()) < 2:
        world.step()
    (server,) = world.snapshot.servers
    held = tuple(replace(each, phase=phase) if each.version == 2 else each for each in server.holdings)
    world.snapshot = replace(world.snapshot, servers=(replace(server, holdings=held),), demand=None)
    world.memory = Memory()
    world.step()
    status = world.status()
    assert status.scaling is not None
    assert status.scaling.wanted == 1


def test_orders_that_are_lost_are_given_again() -> None:
    world = a_world(a_deployment())
    lost = iter([True, True, False] * 100)
    world.keeps = lambda _: not next(lost)
    for _ in range(60):
        world.step()
    assert world.ready() == [1]
    assert versions_routed(world) == [1]


def test_an_order_done_twice_is_done_once() -> None:
    once, twice = a_world(a_deployment(), a_deployment(OTHER)), a_world(a_deployment(), a_deployment(OTHER))
    twice.repeats = 2
    for _ in range(12):
        once.step()
        twice.step()
        assert twice.snapshot == once.snapshot
    assert once.ready() == [1]


def test_the_same_snapshot_and_memory_give_the_same_actions() -> None:
    world = a_world(a_deployment(), a_deployment(OTHER, SCALED))
    for _ in range(6):
        snapshot, memory = world.snapshot, world.memory
        assert step(snapshot, memory).actions == step(snapshot, memory).actions
        world.step()


# Pools.


def test_warm_servers_are_there_before_the_first_request() -> None:
    world = a_world(a_deployment(spec=SCALED), settings=Settings(warm_servers=1))
    world.settle()
    assert len(world.snapshot.servers) == 1
    assert world.ready() == []


def test_an_idle_server_is_given_back() -> None:
    world = a_settled_world(settings=Settings(server_idle_s=20.0))
    world.change(DIGITS, stopped=True)
    for _ in range(15):
        world.step()
    assert len(world.snapshot.servers) == 1
    for _ in range(15):
        world.step()
    assert not world.snapshot.servers


def test_namespaces_do_not_share_a_server() -> None:
    theirs = an_address("digits", "theirs")
    world = a_world(a_deployment(), a_deployment(theirs))
    world.settle()
    assert {each.pool for each in world.snapshot.servers} == {Pool("default", SIMULATED), Pool("theirs", SIMULATED)}


def test_an_idle_server_of_another_namespace_gives_up_its_device() -> None:
    theirs = an_address("digits", "theirs")
    world = a_settled_world(devices=1)
    world.change(DIGITS, stopped=True)
    world.settle()
    world.apply(theirs, a_spec())
    world.settle()
    assert world.ready(theirs) == [1]


def test_a_server_that_never_starts_is_replaced() -> None:
    world = a_world(a_deployment(), devices=1)
    stuck = a_server("stuck", phase=ServerPhase.STARTING, started_at=world.snapshot.now, message="no device found")
    world.snapshot = replace(world.snapshot, servers=(stuck,))
    for _ in range(100):
        world.step()
    assert world.status().summary == "Not ready: it waits for stuck to start: no device found."
    world.keeps = lambda action: not isinstance(action, ResizePool)
    for _ in range(30):
        world.step()
    assert world.status().summary == "Not ready: a server does not start: no device found."
    world.keeps = lambda _: True
    world.settle()
    assert world.ready() == [1]
    assert [each for each in world.ordered(ResizePool) if isinstance(each, ResizePool) and "stuck" in each.victims]


@pytest.mark.parametrize("phase", [HoldingPhase.LOADING, HoldingPhase.UNLOADING])
def test_what_loads_or_unloads_is_waited_for(phase: HoldingPhase) -> None:
    world = a_settled_world()
    (server,) = world.snapshot.servers
    held = replace(server.holdings[0], phase=phase)
    world.snapshot = replace(world.snapshot, servers=(replace(server, holdings=(held,)),))
    for _ in range(5):
        assert not [each for each in world.step().actions if isinstance(each, LoadReplica | UnloadReplica | ResizePool)]
    assert route(world).state is RouteState.HELD
