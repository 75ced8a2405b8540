"""How many requests per second a replica can do, learned from how busy replicas are with what they answer."""

from dataclasses import dataclass

from forebay_operator.domain import load_window
from forebay_operator.domain.load_window import LoadWindow

_WINDOW_S = 6.0
_FEWEST_ANSWERS = 5.0
"""Fewer in the window teach nothing."""
_FEWEST_BUSY = 0.05
_SATURATED = 0.9
_LEARNING = 0.3


@dataclass(frozen=True, slots=True)
class Throughput:
    per_replica: float | None = None
    """Requests per second of one busy replica: the best that is known now. None: nothing is."""
    capacity: float | None = None
    """The same, seen while requests waited for busy replicas. Where requests are batched only this says what one can do: a
    replica with little to do is as busy with small batches as one with much to do is with large ones."""


def measure(before: Throughput, window: LoadWindow, target_queue_depth: float) -> Throughput:
    """What is known after one more sample."""
    seen = load_window.last(window, _WINDOW_S)
    answered = load_window.completions_per_s(seen)
    busy = load_window.mean(each.busy for each in seen[1:])
    if answered is None or busy is None or busy < _FEWEST_BUSY or answered * (seen[-1].at - seen[0].at) < _FEWEST_ANSWERS:
        return before
    if before.capacity is not None and len({each.ready for each in seen}) > 1:
        # Those that came or went were busy for a part of it only: better what is known than that.
        return before
    rate = answered / busy
    waiting = _waiting_each(seen)
    if busy / _ready(seen) < _SATURATED or waiting < target_queue_depth / 2:
        known = max(_learned(before.per_replica, rate), before.capacity or 0.0)
        return Throughput(known, before.capacity)
    if waiting < target_queue_depth and before.capacity is not None and rate < before.capacity:
        # With more to do its batches were larger: this says that it can do so much, and not that it can do no more.
        return Throughput(before.capacity, before.capacity)
    return Throughput(rate, _learned(before.capacity, rate))


def _ready(seen: LoadWindow) -> float:
    return max(load_window.mean(float(each.ready) for each in seen) or 0.0, 1.0)


def _waiting_each(seen: LoadWindow) -> float:
    """Requests that wait for each replica."""
    return (load_window.mean(each.waiting for each in seen) or 0.0) / _ready(seen)


def _learned(before: float | None, now: float) -> float:
    return now if before is None else before + _LEARNING * (now - before)
