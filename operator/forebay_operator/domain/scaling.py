"""How many replicas a ModelDeployment wants, and why: none when it is stopped, a fixed number, or as its load calls for."""

from dataclasses import dataclass, replace

from forebay_operator.domain import autoscaling
from forebay_operator.domain.autoscaling import ScalingMemory
from forebay_operator.domain.deployment import Autoscaling, DeploymentSpec
from forebay_operator.domain.observation import Observation

_DECIDES_EVERY_S = 0.9
_UNKNOWN_SAID_AFTER_S = 10.0
"""A signal that is missing for less is no news: after a restart each is, for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """A decision, and what it was based on."""

    at: float = 0.0
    wanted: int
    reason: str
    unknown: str = ""
    """Which signals have been missing for a while, in a sentence; empty: none."""
    unknown_since: float | None = None
    waiting: float | None = 0.0
    """Requests waiting for the model, held ones included. None: not known."""
    memory: ScalingMemory | None = None
    same_until: float = float("inf")
    """Until when the decision stands if nothing but time changes."""


def scale(
    spec: DeploymentSpec,
    before: Scaling | None,
    seen: Observation,
    *,
    present: int | None,
    hold_seconds: float,
    skipped_until: float | None = None,
) -> Scaling:
    """The replicas wanted now.

    `present`: the number that was wanted, when there is no memory of it. `hold_seconds`: how long requests wait for the first
    replica at most. `skipped_until`: until when everything was the same, and so not looked at.
    """
    waiting = None if seen.waiting is None or seen.held is None else seen.waiting + seen.held
    if spec.stopped:
        return Scaling(at=seen.now, wanted=0, reason="It is stopped.", waiting=waiting)
    if spec.autoscaling is None:
        return Scaling(at=seen.now, wanted=spec.replicas, reason=f"spec.replicas is {spec.replicas}.", waiting=waiting)
    policy, memory = spec.autoscaling, before.memory if before is not None else None
    if before is not None and memory is not None and _is_recent(policy, before, seen):
        return replace(before, waiting=waiting, same_until=seen.now)
    if memory is not None and skipped_until is not None:
        memory = autoscaling.prolonged(memory, skipped_until)
    decision = autoscaling.decide(policy, memory or ScalingMemory(), seen, present=present, hold_seconds=hold_seconds)
    unknown_since = _unknown_since(before, seen)
    is_missed = unknown_since is not None and seen.now - unknown_since >= _UNKNOWN_SAID_AFTER_S
    return Scaling(
        at=seen.now,
        wanted=decision.replicas,
        reason=decision.reason,
        unknown=decision.unknown if is_missed else "",
        unknown_since=unknown_since,
        waiting=waiting,
        memory=decision.memory,
        same_until=autoscaling.same_until(policy, decision.memory, seen),
    )


def none_wanted(now: float, reason: str) -> Scaling:
    return Scaling(at=now, wanted=0, reason=reason)


def _unknown_since(before: Scaling | None, seen: Observation) -> float | None:
    if not seen.unknown:
        return None
    since = before.unknown_since if before is not None else None
    return seen.now if since is None else since


def _is_recent(policy: Autoscaling, before: Scaling, seen: Observation) -> bool:
    """Whether the last decision stands until its second is over; what wakes a model at zero does not wait for that."""
    wakes = before.wanted == 0 and bool(seen.held or seen.arrivals_per_s)
    within = policy.min_replicas <= before.wanted <= policy.max_replicas
    return within and not wakes and seen.now - before.at < _DECIDES_EVERY_S
