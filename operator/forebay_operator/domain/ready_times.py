"""How long a model's replicas take from being wanted to being ready, learned from those that did."""

from dataclasses import dataclass

_FORGETTING = 0.3


@dataclass(frozen=True, slots=True)
class ReadyTimes:
    learned: float | None = None
    """Seconds; None: none has got ready yet. Rises at once, falls slowly: the slow ones are those that hurt."""
    ready: int | None = None
    """How many were ready when last seen."""
    starts: tuple[float | None, ...] = ()
    """When those on their way were first seen, oldest first. None: before this memory began."""


def learn(before: ReadyTimes, now: float, ready: int, starting: int) -> ReadyTimes:
    """What is known after a look at how many replicas are ready and how many on their way; they are taken to come in turn."""
    if before.ready is None:
        return ReadyTimes(before.learned, ready, (None,) * starting)
    came = max(0, ready - before.ready)
    took = [now - start for start in before.starts[:came] if start is not None]
    waiting = before.starts[came:][:starting]
    begun = (now,) * (starting - len(waiting))
    return ReadyTimes(_learned(before.learned, took), ready, (*waiting, *begun))


def _learned(before: float | None, took: list[float]) -> float | None:
    if not took:
        return before
    longest = max(took)
    if before is None or longest > before:
        return longest
    return before + _FORGETTING * (longest - before)
