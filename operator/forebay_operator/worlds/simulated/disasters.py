"""Does the faults of a story to a simulated world."""

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from forebay_operator.domain.snapshot import ConversionFailure
from forebay_operator.worlds.simulated.faults import (
    ActionsDoubled,
    ActionsLate,
    ActionsLost,
    ControllerRestarts,
    ConversionsFail,
    Fault,
    FiguresMissing,
    GatewaySilent,
    LoadsFail,
    ServerDies,
    ServerHangsAtStart,
    ServersOutdated,
    ServerStalls,
    Share,
)
from forebay_operator.worlds.simulated.server import SimulatedServer
from forebay_operator.worlds.simulated.world import BEGINNING, SimulatedWorld

T = TypeVar("T")


def plan_disasters(world: SimulatedWorld, faults: Sequence[Fault], end_s: float) -> None:
    """Have the faults happen in time, and all of them over at `end_s`. Restarts of the controller are not the world's."""
    for fault in faults:
        if not isinstance(fault, ControllerRestarts):
            world.timeline.at(BEGINNING + fault.at, partial(strike, world, fault))
    world.timeline.at(BEGINNING + end_s, partial(end_all, world))


def strike(world: SimulatedWorld, fault: Fault) -> None:
    match fault:
        case ServerDies() | ServerStalls() | FiguresMissing():
            server = picked(world.fleet.ready(), fault.pick)
            if server is not None:
                _strike_server(world, server, fault)
        case ServerHangsAtStart():
            world.fleet.hanging_starts += 1
        case ServersOutdated():
            for server in world.fleet.servers.values():
                server.outdated = True
        case LoadsFail():
            address = picked(sorted(world.deployments), fault.pick)
            if address is not None:
                world.failing_loads[address] += fault.count
        case ConversionsFail():
            world.failing_conversions += [_conversion_failure(retryable=fault.retryable)] * fault.count
        case GatewaySilent():
            world.gateway.silent_until = world.timeline.now + fault.seconds
        case ActionsLost() | ActionsLate() | ActionsDoubled():
            _disturb(world, fault)
        case ControllerRestarts():
            world.restart_controller(forgets_conversions=fault.forgets_conversions)


def end_all(world: SimulatedWorld) -> None:
    """From now on nothing goes wrong any more; what went wrong stays."""
    world.fleet.hanging_starts = 0
    world.failing_loads.clear()
    world.failing_conversions.clear()
    world.gateway.silent_until = 0.0
    world.delivery.lost = world.delivery.late = world.delivery.doubled = None
    for server in world.fleet.servers.values():
        server.figures_missing_until = 0.0


def picked(choices: Sequence[T], share: Share) -> T | None:
    return choices[int(share * len(choices))] if choices else None


def _strike_server(world: SimulatedWorld, server: SimulatedServer, fault: ServerDies | ServerStalls | FiguresMissing) -> None:
    now = world.timeline.now
    match fault:
        case ServerDies():
            world.fleet.kill(server, "its process ended with signal 9")
        case ServerStalls():
            server.stalled_until = now + fault.seconds
        case FiguresMissing():
            server.figures_missing_until = now + fault.seconds


def _disturb(world: SimulatedWorld, fault: ActionsLost | ActionsLate | ActionsDoubled) -> None:
    delivery = world.delivery
    match fault:
        case ActionsLost():
            delivery.lost = fault
        case ActionsLate():
            delivery.late = fault
        case ActionsDoubled():
            delivery.doubled = fault
    world.timeline.after(fault.seconds, partial(_calm, world, fault))


def _calm(world: SimulatedWorld, fault: ActionsLost | ActionsLate | ActionsDoubled) -> None:
    """End a disturbance, unless another of its kind has taken its place."""
    delivery = world.delivery
    delivery.lost = None if delivery.lost is fault else delivery.lost
    delivery.late = None if delivery.late is fault else delivery.late
    delivery.doubled = None if delivery.doubled is fault else delivery.doubled


def _conversion_failure(*, retryable: bool) -> ConversionFailure:
    return ConversionFailure(
        stage="fetch" if retryable else "convert",
        cause="simulated fault",
        remedy="wait" if retryable else "change the source",
        retryable=retryable,
    )
