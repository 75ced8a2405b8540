"""How many replicas a ModelDeployment wants, and why: none when it is stopped, a fixed number, or as its load calls for."""

from dataclasses import dataclass, replace

from forebay_operator.domain import autoscaling
from forebay_operator.domain.autoscaling import Observation, ScalingMemory
from forebay_operator.domain.deployment import Autoscaling, DeploymentSpec

_DECIDES_EVERY_S = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """A decision, and what it was based on."""

    at: float = 0.0
    wanted: int
    reason: str
    unknown: str = ""
    """Which signals are missing, in a sentence; empty: none."""
    waiting: float | None = 0.0
    """Requests waiting for the model, held ones included. None: not known."""
    memory: ScalingMemory | None = None


def scale(
    spec: DeploymentSpec, before: Scaling | None, seen: Observation, *, present: int | None, hold_seconds: float
) -> Scaling:
    """The replicas wanted now.

    `present`: the number that was wanted, when there is no memory of it. `hold_seconds`: how long requests wait for the first
    replica at most.
    """
    waiting = None if seen.waiting is None or seen.held is None else seen.waiting + seen.held
    if spec.stopped:
        return Scaling(at=seen.now, wanted=0, reason="It is stopped.", waiting=waiting)
    if spec.autoscaling is None:
        return Scaling(at=seen.now, wanted=spec.replicas, reason=f"spec.replicas is {spec.replicas}.", waiting=waiting)
    return _follow(spec.autoscaling, before, seen, present=present, hold_seconds=hold_seconds, waiting=waiting)


def none_wanted(now: float, reason: str) -> Scaling:
    return Scaling(at=now, wanted=0, reason=reason)


def _follow(
    policy: Autoscaling,
    before: Scaling | None,
    seen: Observation,
    *,
    present: int | None,
    hold_seconds: float,
    waiting: float | None,
) -> Scaling:
    memory = before.memory if before is not None else None
    if before is not None and memory is not None and _is_recent(policy, before, seen):
        return replace(before, waiting=waiting)
    decision = autoscaling.decide(policy, memory or ScalingMemory(), seen, present=present, hold_seconds=hold_seconds)
    return Scaling(
        at=seen.now,
        wanted=decision.replicas,
        reason=decision.reason,
        unknown=decision.unknown,
        waiting=waiting,
        memory=decision.memory,
    )


def _is_recent(policy: Autoscaling, before: Scaling, seen: Observation) -> bool:
    """Whether the last decision stands until its second is over; what wakes a model at zero does not wait for that."""
    wakes = before.wanted == 0 and bool(seen.held or seen.arrivals_per_s)
    within = policy.min_replicas <= before.wanted <= policy.max_replicas
    return within and not wakes and seen.now - before.at < _DECIDES_EVERY_S
