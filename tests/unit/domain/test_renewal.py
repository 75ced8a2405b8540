"""Replicas on outdated servers move to new ones."""

from collections.abc import Iterable
from dataclasses import replace

from domain_builders import (
    DIGITS,
    GIB,
    GPU,
    POOL,
    SIMULATED,
    ObedientWorld,
    a_deployment,
    a_server,
    a_spec,
    a_world,
    an_address,
)
from forebay_operator.domain.actions import ResizePool
from forebay_operator.domain.deployment import Autoscaling, DeploymentSpec, Placement, Source
from forebay_operator.domain.memory import Memory
from forebay_operator.domain.routes import RouteState
from forebay_operator.domain.snapshot import Capacity, ServerPhase, Settings
from forebay_operator.domain.status import ConditionType

OTHER = an_address("other")
BIG = a_spec(placement=Placement(memory_bytes=10 * GIB))


def outdate(world: ObedientWorld, names: Iterable[str] | None = None) -> None:
    """From now on servers are made differently."""
    chosen = {each.name for each in world.snapshot.servers} if names is None else set(names)
    world.snapshot = replace(
        world.snapshot,
        servers=tuple(replace(each, outdated=each.outdated or each.name in chosen) for each in world.snapshot.servers),
    )


def a_settled_world(*specs: tuple[str, DeploymentSpec], devices: int = 2, footprint: int = GIB) -> ObedientWorld:
    world = a_world(a_deployment(), a_deployment(OTHER), devices=devices)
    for name in ("digits", "other"):
        world.footprint_bytes[name] = footprint
    for name, spec in specs:
        world.apply(an_address(name), spec)
    world.settle()
    return world


def held_by_outdated(world: ObedientWorld) -> list[str]:
    return [each.name for each in world.snapshot.servers if each.outdated]


def test_a_model_moves_to_a_new_server_and_answers_all_the_while() -> None:
    world = a_world(a_deployment())
    world.settle()
    (old,) = world.snapshot.servers
    outdate(world)
    for _ in range(15):
        world.step()
        (route,) = world.snapshot.routes
        assert route.state is RouteState.ROUTED
        assert world.status().summary.startswith("Ready: 1 of 1 replica on 1 simulated GPU, queue")
        assert next(each for each in world.status().conditions if each.type is ConditionType.READY).status.value == "True"
    assert [each.name for each in world.snapshot.servers] != [old.name]
    assert world.ready() == [1]
    assert not held_by_outdated(world)
    assert not world.step().actions


def test_without_a_free_device_nothing_moves_and_nothing_is_ordered() -> None:
    world = a_settled_world(devices=1)
    outdate(world)
    for _ in range(10):
        assert not world.step().actions
    assert len(held_by_outdated(world)) == 1
    world.snapshot = replace(world.snapshot, capacity=(Capacity(device=SIMULATED, servers=2),))
    world.settle()
    assert not held_by_outdated(world)
    assert world.ready() == world.ready(OTHER) == [1]


def test_servers_are_emptied_one_by_one_when_there_is_one_device_to_spare() -> None:
    other = replace(BIG, source=Source(uri="data:b"))
    world = a_settled_world(("digits", replace(BIG, replicas=2)), ("other", other), devices=3, footprint=10 * GIB)
    assert len(world.snapshot.servers) == 3
    world.snapshot = replace(world.snapshot, capacity=(Capacity(device=SIMULATED, servers=4),))
    outdate(world)
    for _ in range(60):
        world.step()
        assert len(world.snapshot.servers) <= 4
        assert len(world.ready()) >= 2
        assert world.ready(OTHER)
    assert not held_by_outdated(world)
    assert world.ready() == [1, 1]


def test_a_model_that_waits_for_room_comes_first() -> None:
    world = a_settled_world(("digits", BIG), devices=2, footprint=10 * GIB)
    outdate(world)
    world.snapshot = replace(world.snapshot, capacity=(Capacity(device=SIMULATED, servers=3),))
    world.footprint_bytes["third"] = 10 * GIB
    world.apply(an_address("third"), replace(BIG, source=Source(uri="data:c")))
    for _ in range(20):
        world.step()
    assert world.ready(an_address("third")) == [1]
    assert world.ready() == world.ready(OTHER) == [1]


def test_outdated_servers_that_hold_nothing_or_only_start_go_at_once() -> None:
    idle, starting = a_server("idle", outdated=True), a_server("starting", phase=ServerPhase.STARTING, outdated=True)
    world = a_world(a_deployment(spec=a_spec(replicas=0)), servers=[idle, starting], settings=Settings(warm_servers=1))
    world.settle()
    assert [each.outdated for each in world.snapshot.servers] == [False]
    victims = {name for each in world.ordered(ResizePool) if isinstance(each, ResizePool) for name in each.victims}
    assert victims == {"idle", "starting"}


def test_losing_the_memory_in_the_middle_of_a_move_changes_nothing() -> None:
    world = a_settled_world(("digits", a_spec(replicas=2)), devices=4)
    outdate(world)
    for _ in range(30):
        world.memory = Memory()
        world.step()
        assert len(world.ready()) >= 2
    assert not held_by_outdated(world)
    assert world.ready() == [1, 1]
    assert {each.pool for each in world.snapshot.servers} == {POOL}
    assert world.deployment(DIGITS).spec.replicas == 2


def test_a_failed_load_on_the_new_server_leaves_the_old_one_serving() -> None:
    world = a_world(a_deployment(), devices=3)
    world.settle()
    outdate(world)
    world.failing_loads.add(("digits", 1))
    for _ in range(100):
        world.step()
        assert world.ready() == [1]
    assert world.servers_started <= 3
    world.failing_loads.clear()
    for _ in range(400):
        world.step()
    assert not held_by_outdated(world)


def test_a_model_moves_within_its_devices_although_another_waits_for_a_device_of_another_class() -> None:
    either = a_spec(placement=Placement(device="gpu", exclusive=True))
    waiting = a_spec("data:b", replicas=2, placement=Placement(gpu_class="simulated", memory_bytes=10 * GIB))
    capacity = (Capacity(device=SIMULATED, servers=1), Capacity(device=GPU, servers=2))
    world = a_world(a_deployment(OTHER, waiting), capacity=capacity)
    world.settle()
    world.apply(DIGITS, either)
    world.settle()
    assert [each.pool.device for each in world.snapshot.servers if each.pool.exclusive] == [GPU]
    outdate(world, [each.name for each in world.snapshot.servers if each.pool.exclusive])
    world.settle()
    assert not held_by_outdated(world)


def test_a_replica_and_the_one_that_takes_over_from_it_are_not_counted_as_two_when_the_memory_is_lost() -> None:
    world = a_world(a_deployment(spec=a_spec(autoscaling=Autoscaling(min_replicas=1, max_replicas=3))), devices=3)
    world.settle()
    outdate(world)
    while len(world.ready()) < 2:
        world.step()
    world.memory = Memory()
    world.settle()
    assert world.ready() == [1]
    status = world.status()
    assert status.scaling is not None
    assert status.scaling.wanted == 1
