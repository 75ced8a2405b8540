"""Which of the waiting requests run next, and when."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol


class Waiting(Protocol):
    """A request in a queue, oldest first."""

    @property
    def rows(self) -> int:
        """How much of a batch it fills."""
        ...

    @property
    def shape(self) -> Hashable:
        """Only requests of equal shape run together."""
        ...

    @property
    def enqueued_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Limits of a batch. `max_delay_ns` 0: a free instance takes what waits at once."""

    max_rows: int = 1
    preferred: frozenset[int] = frozenset()
    max_delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """Take this many requests from the front and run them as one batch."""

    count: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nothing to run before `until_ns`, or before the next arrival where it is None."""

    until_ns: int | None


@dataclass(slots=True)
class _Front:
    """The longest run of requests at the front that may share a batch."""

    count: int = 0
    rows: int = 0
    preferred_count: int = 0
    blocked: bool = False
    oldest_ns: int = 0


def next_batch(policy: BatchPolicy, queue: Iterable[Waiting], now_ns: int) -> Run | Sleep:
    """Decide what a free instance does with the queue.

    | at the front of the queue                                     | decision                       |
    |---------------------------------------------------------------|--------------------------------|
    | nothing                                                       | sleep until the next arrival   |
    | the largest preferred size, or more                           | run the largest preferred size |
    | full, or followed by one that cannot join (size, shape)       | run all that can join          |
    | some preferred size                                           | run the largest reached        |
    | the oldest has waited for the delay (at once where it is 0)   | run all that can join          |
    | otherwise                                                     | sleep until the delay is over  |
    """
    front = _front(policy, queue)
    if not front.count:
        return Sleep(None)
    if policy.preferred and front.preferred_count and front.rows >= max(policy.preferred):
        return Run(front.preferred_count)
    if front.blocked:
        return Run(front.count)
    due_ns = front.oldest_ns + policy.max_delay_ns
    if now_ns >= due_ns:
        return Run(front.count)
    return Run(front.preferred_count) if front.preferred_count else Sleep(due_ns)


def _front(policy: BatchPolicy, queue: Iterable[Waiting]) -> _Front:
    front = _Front()
    shape: Hashable = None
    for request in queue:
        if front.count == 0:
            shape, front.oldest_ns = request.shape, request.enqueued_ns
        elif request.shape != shape or front.rows + request.rows > policy.max_rows:
            front.blocked = True
            break
        front.count += 1
        front.rows += request.rows
        if front.rows in policy.preferred:
            front.preferred_count = front.count
        if front.rows >= policy.max_rows:
            front.blocked = True
            break
    return front
