"""What stands between a revision and its replicas: the first obstacle, in the order in which they are overcome."""

from dataclasses import dataclass

from forebay_operator.domain.assessment import Assessment
from forebay_operator.domain.conversions import ConversionState, Preparation
from forebay_operator.domain.failures import VersionFailures
from forebay_operator.domain.fleet import takes_orders
from forebay_operator.domain.outcome import Outcome
from forebay_operator.domain.snapshot import Server
from forebay_operator.domain.wording import clause, counted, listed, sentence

FAILURES = frozenset({"ConversionFailed", "LoadFailed", "NoDevice", "NoRoom", "ServerDoesNotStart"})
"""Reasons of obstacles that seldom pass by themselves: somebody should know."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a revision has fewer ready replicas than it should."""

    reason: str
    """CamelCase, for programs."""
    text: str
    """What happened and what to do, as a clause without full stop: `the load failed on s-1: …; …`."""


def obstacle(outcome: Outcome) -> Obstacle | None:
    """What keeps the target from having all the replicas it should have now; None: nothing does."""
    assessment = outcome.assessment
    return (
        _conversion(assessment.preparation) or _device(outcome) or (_replicas(outcome) if assessment.scaling.wanted else None)
    )


def _conversion(preparation: Preparation) -> Obstacle | None:
    failure = preparation.failure
    state = preparation.state
    if state is ConversionState.DONE:
        return None
    if state is ConversionState.SUSPENDED:
        return Obstacle("NotConverted", "it is not converted while it is stopped")
    if state is ConversionState.RUNNING:
        progress = clause(preparation.progress)
        return Obstacle("Converting", f"it is being converted ({progress})" if progress else "it is being converted")
    if failure is None:
        return Obstacle("ConversionFailed", "its conversion failed and does not say why; see its log")
    again = " It is tried again by itself." if state is ConversionState.PAUSED else ""
    text = f"its conversion failed at {failure.stage}: {clause(failure.cause)}. {sentence(failure.remedy)}{again}"
    return Obstacle("ConversionFailed", text)


def _device(outcome: Outcome) -> Obstacle | None:
    site = outcome.assessment.sight.site
    return None if site.pools else Obstacle("NoDevice", clause(_lowered(site.reason)))


def _replicas(outcome: Outcome) -> Obstacle | None:
    placed = outcome.target
    ready = sum(each.is_ready for each in placed.kept)
    if ready >= outcome.assessment.scaling.wanted:
        # What is on its way beside them only takes over from those on outdated servers.
        return None
    if outcome.assessment.failures and not ready and not placed.is_too_large:
        return _load_failed(outcome.assessment.failures)
    return _no_room(outcome) if placed.unplaced else _on_its_way(outcome)


def _on_its_way(outcome: Outcome) -> Obstacle | None:
    placed = outcome.target
    if placed.swapped:
        return Obstacle("Swapping", "there is no room for both: the old replica goes first, and requests wait meanwhile")
    if placed.planned:
        return _waiting(outcome)
    coming = [each for each in placed.kept if not each.is_ready]
    if coming or placed.added or not outcome.assessment.revisions.durable:
        return _loading([*(each.server.name for each in coming), *placed.added])
    return None


def _load_failed(failures: VersionFailures) -> Obstacle:
    failure = max(failures.all, key=lambda each: each.at)
    reason = clause(failure.reason) or "the server gave no reason"
    text = f"its load failed on {failure.server}: {reason}; it is tried again by itself, or change the spec"
    return Obstacle("LoadFailed", text)


def _no_room(outcome: Outcome) -> Obstacle:
    if outcome.given_up and not outcome.target.is_too_large:
        return _does_not_start(outcome)
    reason = _lowered(outcome.target.reason)
    if ":" in reason:
        return Obstacle("NoRoom", reason)
    return Obstacle("NoRoom", f"{reason}: {_making_room(outcome.assessment)}")


def _making_room(assessment: Assessment) -> str:
    """What to do, by the name of the field that asks for the replicas; one replica cannot be fewer."""
    if assessment.scaling.wanted <= 1:
        return "free memory or add a device"
    field = "replicas" if assessment.sight.deployment.spec.autoscaling is None else "maxReplicas"
    return f"free memory, lower {field}, or add a device"


def _waiting(outcome: Outcome) -> Obstacle:
    late = [each for each in outcome.waiting_for if not takes_orders(each)]
    if late:
        return Obstacle("WaitingForServer", _starting(late[0]))
    if outcome.waiting_for:
        names = listed(each.name for each in outcome.waiting_for)
        return Obstacle("WaitingForRoom", f"it waits for memory to be freed on {names}")
    if outcome.given_up:
        return _does_not_start(outcome)
    return Obstacle("WaitingForServer", f"it waits for {counted(len(outcome.target.planned), 'server')} to start")


def _does_not_start(outcome: Outcome) -> Obstacle:
    """The message of a server that was given up: it tells more than what placement is left with."""
    late = next((each for each in outcome.given_up if each.message), outcome.given_up[0])
    message = clause(late.message) or f"{late.name} took too long and is replaced; its log says more"
    return Obstacle("ServerDoesNotStart", f"a server does not start: {message}")


def _starting(server: Server) -> str:
    message = clause(server.message)
    return f"it waits for {server.name} to start" + (f": {message}" if message else "")


def _loading(servers: list[str]) -> Obstacle:
    where = f" on {listed(sorted(servers))}" if servers else ""
    return Obstacle("Loading", f"it is being loaded{where}")


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
