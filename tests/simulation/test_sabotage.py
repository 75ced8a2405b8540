"""The worlds notice a step that does wrong: each of these changes one thing about the real one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from forebay_operator.domain.actions import (
    Action,
    CollectArtifact,
    LoadReplica,
    ResizePool,
    SetRoutes,
    UnloadReplica,
    WriteStatus,
)
from forebay_operator.domain.memory import Memory
from forebay_operator.domain.routes import RouteState
from forebay_operator.domain.snapshot import HoldingPhase, ServerPhase, Snapshot
from forebay_operator.domain.step import StepResult, step
from forebay_operator.worlds.simulated.drawing import draw_story
from forebay_operator.worlds.simulated.simulation import simulate
from forebay_schema.addresses import ModelAddress
from simulation_builders import a_spec
from simulation_stories import BIG, OTHER_SOURCE, a_story, applied

WORLDS = 40
Sabotage = Callable[[Snapshot, StepResult], tuple[Action, ...]]


def without(kind: type[Action]) -> Sabotage:
    return lambda _, result: tuple(action for action in result.actions if not isinstance(action, kind))


def unload_all(snapshot: Snapshot, result: StepResult) -> tuple[Action, ...]:
    """Unload what is ready as soon as it is."""
    address = {deployment.address.name: deployment.address for deployment in snapshot.deployments}
    unloads = [
        UnloadReplica(server=server.name, address=address[holding.model], version=holding.version, sequence=1 << 60)
        for server in snapshot.servers
        for holding in server.holdings
        if holding.phase is HoldingPhase.READY and holding.model in address
    ]
    return (*result.actions, *unloads)


def load_on_one(snapshot: Snapshot, result: StepResult) -> tuple[Action, ...]:
    """Load all on the first server that is ready, as if memory had no end."""
    ready = [server.name for server in snapshot.servers if server.phase is ServerPhase.READY]
    orders = {
        (action.address, action.version): replace(action, server=ready[0])
        for action in result.actions
        if isinstance(action, LoadReplica)
    }
    return (*(action for action in result.actions if not isinstance(action, LoadReplica)), *orders.values())


def half_weights(_: Snapshot, result: StepResult) -> tuple[Action, ...]:
    return tuple(_with_half_weights(action) for action in result.actions)


def _with_half_weights(action: Action) -> Action:
    if not isinstance(action, SetRoutes):
        return action
    return SetRoutes(
        routes=tuple(
            replace(route, versions=tuple(replace(version, weight=50) for version in route.versions))
            for route in action.routes
        )
    )


def stop_what_waits(_: Snapshot, result: StepResult) -> tuple[Action, ...]:
    """Refuse requests for which there is no replica."""
    return tuple(_stopped(action) if isinstance(action, SetRoutes) else action for action in result.actions)


def _stopped(action: SetRoutes) -> SetRoutes:
    held = RouteState.HELD
    routes = (replace(each, state=RouteState.STOPPED) if each.state is held else each for each in action.routes)
    return SetRoutes(routes=tuple(routes))


def want_too_many(_: Snapshot, result: StepResult) -> tuple[Action, ...]:
    return tuple(
        replace(action, status=replace(action.status, scaling=replace(action.status.scaling, wanted=99)))
        if isinstance(action, WriteStatus) and action.status.scaling
        else action
        for action in result.actions
    )


def collect_all(snapshot: Snapshot, result: StepResult) -> tuple[Action, ...]:
    return (
        *result.actions,
        *(CollectArtifact(namespace=each.namespace, digest=each.digest) for each in snapshot.artifacts),
    )


def too_many_servers(_: Snapshot, result: StepResult) -> tuple[Action, ...]:
    return tuple(
        replace(action, servers=action.servers + 9) if isinstance(action, ResizePool) else action for action in result.actions
    )


def order_twice(_: Snapshot, result: StepResult) -> tuple[Action, ...]:
    return result.actions + result.actions


SABOTAGES: dict[str, tuple[Sabotage, str]] = {
    "never unloads": (without(UnloadReplica), "5 end"),
    "never loads": (without(LoadReplica), "5 end"),
    "never routes": (without(SetRoutes), "3 routes"),
    "never resizes": (without(ResizePool), "5 end"),
    "never collects": (without(CollectArtifact), "5 end"),
    "unloads all": (unload_all, "2 last replica"),
    "loads on one": (load_on_one, "1 memory"),
    "halves weights": (half_weights, "3 routes"),
    "stops what waits": (stop_what_waits, "3 routes"),
    "wants too many": (want_too_many, "8 bounds"),
    "collects all": (collect_all, "4 artifacts"),
    "starts too many servers": (too_many_servers, "1 capacity"),
    "orders twice": (order_twice, "6 one writer"),
}


@pytest.mark.parametrize(("sabotage", "rule"), SABOTAGES.values(), ids=list(SABOTAGES))
def test_a_step_that_does_wrong_is_noticed(sabotage: Sabotage, rule: str) -> None:
    def sabotaged(snapshot: Snapshot, memory: Memory) -> StepResult:
        result = step(snapshot, memory)
        return replace(result, actions=sabotage(snapshot, result))

    assert rule in _rules_broken_by(sabotaged, rule)


def test_a_step_that_fails_is_noticed() -> None:
    def failing(snapshot: Snapshot, memory: Memory) -> StepResult:  # noqa: ARG001 - the step's parameters
        raise ZeroDivisionError

    (violation,) = simulate(draw_story(0), step=failing).violations
    assert violation.rule == "crash"
    assert "ZeroDivisionError" in violation.sentence


def test_a_step_that_is_the_real_one_is_found_to_do_no_wrong() -> None:
    assert not simulate(draw_story(0)).violations


def _rules_broken_by(sabotaged: Callable[[Snapshot, Memory], StepResult], awaited: str) -> set[str]:
    """The rules broken in one world that is full, then in the first random ones, until the awaited one is among them."""
    two_models = (applied(a_spec()), applied(a_spec(OTHER_SOURCE), address=ModelAddress("blue", "letters")))
    full = a_story(*two_models, behaviour=BIG, other=BIG, busy_s=40.0)
    rules: set[str] = set()
    for story in (full, *(draw_story(seed) for seed in range(WORLDS))):
        rules |= {violation.rule for violation in simulate(story, step=sabotaged).violations}
        if awaited in rules:
            break
    return rules
