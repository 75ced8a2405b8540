"""Who may wait, and for how long."""

from dataclasses import dataclass
from enum import Enum


class TimeoutAction(Enum):
    """What happens to a request that has waited too long: refused, or served after all others."""

    REJECT = "reject"
    DELAY = "delay"


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Triton's queue policy; zero means no limit and no timeout."""

    max_size: int = 0
    default_timeout_ns: int = 0
    action: TimeoutAction = TimeoutAction.REJECT
    allow_override: bool = False


def admits(policy: QueuePolicy, waiting: int) -> bool:
    """Whether one more request may wait behind `waiting` others."""
    return policy.max_size == 0 or waiting < policy.max_size


def deadline_ns(policy: QueuePolicy, now_ns: int, requested_timeout_ns: int) -> int | None:
    """When a request that arrives now has waited too long; None: never.

    A request may only lower the timeout, and only where there is one, as in Triton.

    | default | override allowed | asked for         | timeout   |
    |---------|------------------|-------------------|-----------|
    | 0       | any              | any               | none      |
    | d       | yes              | 0 < t < d         | t         |
    | d       | otherwise        |                   | d         |
    """
    timeout_ns = policy.default_timeout_ns
    if not timeout_ns:
        return None
    if policy.allow_override and 0 < requested_timeout_ns < timeout_ns:
        timeout_ns = requested_timeout_ns
    return now_ns + timeout_ns
