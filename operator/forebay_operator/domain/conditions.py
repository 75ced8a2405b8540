"""Conditions: what is true of a ModelDeployment, for people and for `kubectl wait`; transition times are kept."""

from collections.abc import Iterable
from dataclasses import dataclass

from forebay_operator.domain.status import Condition, ConditionStatus, ConditionType


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition without its times."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    """CamelCase, for programs."""
    message: str
    """One sentence, for people."""


def merge(before: Iterable[Condition], found: Iterable[Finding], generation: int, now: float) -> tuple[Condition, ...]:
    """The conditions found, in the order found. One whose status is what it was keeps the time of its last change."""
    known = {condition.type: condition for condition in before}
    return tuple(
        Condition(
            type=finding.type,
            status=finding.status,
            reason=finding.reason,
            message=finding.message,
            observed_generation=generation,
            last_transition=_since(known.get(finding.type), finding.status, now),
        )
        for finding in found
    )


def _since(before: Condition | None, status: ConditionStatus, now: float) -> float:
    return before.last_transition if before is not None and before.status is status else now
