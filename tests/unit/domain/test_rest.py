"""What is at rest is passed over, and that changes nothing but the time a step takes."""

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from domain_builders import DIGITS, ObedientWorld, a_deployment, a_spec, a_world, an_address
from forebay_operator.domain.deployment import Autoscaling, Source
from forebay_operator.domain.memory import Cache
from forebay_operator.domain.snapshot import GatewayDemand, ServerPhase
from forebay_operator.domain.step import StepResult, step

POLICY = Autoscaling(max_replicas=3, scale_down_delay_s=5.0, idle_timeout_s=12.0)
SPECS = {
    DIGITS: a_spec(autoscaling=POLICY),
    an_address("bert"): a_spec("data:b", autoscaling=replace(POLICY, min_replicas=1)),
    an_address("cora"): a_spec("data:c", replicas=2),
}


@dataclass(frozen=True)
class Event:
    """What happens before a step."""

    arrivals: int = 0
    held: int = 0
    waiting: int = 0
    busy_s: float = 0.0
    edited: bool = False
    lost: bool = False
    silent: bool = False
    model: int = 0


def quiet_or_not() -> st.SearchStrategy[Event]:
    rare = st.integers(0, 19).map(lambda value: value == 0)
    busy = st.builds(
        Event,
        arrivals=st.sampled_from([0, 0, 1, 30]),
        held=st.sampled_from([0, 0, 1, 40]),
        waiting=st.sampled_from([0, 0, 3, 30]),
        busy_s=st.sampled_from([0.0, 0.2, 1.0]),
        edited=rare,
        lost=rare,
        silent=rare,
        model=st.integers(0, 2),
    )
    return st.one_of(st.just(Event()), st.just(Event()), busy)


def happen(world: ObedientWorld, event: Event) -> None:
    address = list(SPECS)[event.model]
    known = dict(world.snapshot.demand or {})
    before = known.get(address, GatewayDemand())
    known[address] = replace(before, held=event.held, arrivals=before.arrivals + event.arrivals)
    servers = tuple(
        replace(
            server,
            holdings=tuple(
                replace(held, waiting=event.waiting, busy_seconds=(held.busy_seconds or 0.0) + event.busy_s)
                if held.model == address.name
                else held
                for held in server.holdings
            ),
        )
        for server in world.snapshot.servers
    )
    if event.lost and servers:
        servers = (replace(servers[0], phase=ServerPhase.LOST), *servers[1:])
    elif not event.lost:
        servers = tuple(server for server in servers if server.phase is not ServerPhase.LOST)
    world.snapshot = replace(world.snapshot, servers=servers, demand=None if event.silent else known)
    if event.edited:
        world.change(address, source=Source(uri=f"data:{world.snapshot.now}"))


class LookingWorld(ObedientWorld):
    """Every step looks at every model."""

    def step(self, seconds: float = 1.0) -> StepResult:
        self.memory = replace(self.memory, cache=Cache())
        return super().step(seconds)


def a_busy_world(kind: type[ObedientWorld] = ObedientWorld) -> ObedientWorld:
    made = a_world(*(a_deployment(address, spec) for address, spec in SPECS.items()), devices=3)
    world = kind(made.snapshot)
    world.settle()
    return world


@given(st.lists(quiet_or_not(), min_size=10, max_size=40))
@settings(max_examples=25, deadline=None)
def test_what_is_passed_over_would_have_been_left_alone(events: list[Event]) -> None:
    passing, looking = a_busy_world(), a_busy_world(LookingWorld)
    for event in events:
        for world in (passing, looking):
            happen(world, event)
            world.step()
        assert passing.history[-1] == looking.history[-1]
        assert passing.snapshot == looking.snapshot


def test_models_without_anything_to_do_are_remembered_as_they_are() -> None:
    world = a_busy_world()
    for _ in range(40):
        world.step()
    before = world.memory.cache.settled
    assert set(before) == set(SPECS)
    world.step()
    assert all(world.memory.cache.settled[address] is before[address] for address in (DIGITS,))


def test_other_settings_or_devices_have_every_model_looked_at() -> None:
    world = a_busy_world()
    for _ in range(40):
        world.step()
    before = world.memory.cache.settled[DIGITS]
    world.snapshot = replace(world.snapshot, settings=replace(world.snapshot.settings, hold_seconds=30.0))
    world.step()
    assert world.memory.cache.settled[DIGITS] is not before


def test_every_model_has_a_status_also_when_it_is_passed_over() -> None:
    world = a_busy_world()
    for _ in range(5):
        assert set(step(world.snapshot, world.memory).statuses) == set(SPECS)
        world.step()
