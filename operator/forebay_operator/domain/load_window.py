"""The load of a model over the last half minute: means and trends over windows of samples."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

LONGEST_S = 30.0
"""Samples older than this are dropped."""

_RESOLUTION_S = 0.45
"""Samples closer to the one before take its place: a window holds about one a second, however often it is asked."""


@dataclass(frozen=True, slots=True)
class LoadSample:
    """What was seen of a model at one time. None: not known."""

    at: float
    waiting: float
    """Requests that wait for a replica: at servers and held ones together."""
    executing: float | None
    arrivals_per_s: float | None
    busy: float | None
    """Offered load in replicas: the busy shares of the ready ones, summed."""
    ready: int

    def seen_again(self, at: float) -> "LoadSample":
        return LoadSample(at, self.waiting, self.executing, self.arrivals_per_s, self.busy, self.ready)


LoadWindow = tuple[LoadSample, ...]
"""Samples, oldest first."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through samples."""

    slope: float
    """Per second."""
    error: float
    """Standard error of the slope."""

    @property
    def surely_rising(self) -> float:
        """The slope less twice its error, at least 0: noise alone seldom gets past it."""
        return max(0.0, self.slope - 2 * self.error)


def extend(window: LoadWindow, sample: LoadSample) -> LoadWindow:
    """The window with one more sample and without those that are too old."""
    oldest = sample.at - LONGEST_S
    newest = len(window)
    if newest and sample.at - window[-1].at < _RESOLUTION_S:
        newest -= 1
    first = 0
    while first < newest and window[first].at < oldest:
        first += 1
    return (*window[first:newest], sample)


def prolong(window: LoadWindow, until: float) -> LoadWindow:
    """The window as it would be if the newest sample had been seen again every second until a later time."""
    if not window or until <= window[-1].at:
        return window
    newest, oldest = window[-1], until - LONGEST_S
    if newest.at < oldest:
        return _every_second(newest.seen_again(oldest), until, is_included=True)
    return (*(each for each in window if each.at >= oldest), *_every_second(newest, until, is_included=False))


@lru_cache(maxsize=512)
def _every_second(sample: LoadSample, until: float, *, is_included: bool) -> LoadWindow:
    """A sample seen again every second until a later time. The same for all models that were at rest for longest."""
    first = int(until - sample.at)
    times = [until - second for second in range(first, -1, -1)]
    return tuple(sample.seen_again(time) for time in times if is_included or time > sample.at)


def last(window: LoadWindow, seconds: float) -> LoadWindow:
    """The newest part of the window: at least one sample, if there is any."""
    if not window:
        return ()
    oldest = window[-1].at - seconds
    first = len(window) - 1
    while first and window[first - 1].at > oldest:
        first -= 1
    return window[first:]


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the known values; None when none is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def trend(window: LoadWindow, of: Callable[[LoadSample], float | None]) -> Trend | None:
    """Least squares through a quantity of the samples; None with fewer than four known values."""
    points = [(each.at - window[-1].at, value) for each in window if (value := of(each)) is not None]
    if len(points) < _FEWEST_FOR_TREND:
        return None
    return _fit(points)


_FEWEST_FOR_TREND = 4


def _fit(points: Sequence[tuple[float, float]]) -> Trend | None:
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread <= 0:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    residue = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return Trend(slope, math.sqrt(residue / (count - 2) / spread))


def completions_per_s(window: LoadWindow) -> float | None:
    """Requests answered per second: what arrived less what has piled up since. None: not known, or too short a time."""
    if len(window) < 2:  # noqa: PLR2004 - a difference needs two
        return None
    first, newest = window[0], window[-1]
    arrived = 0.0
    for before, after in itertools.pairwise(window):
        if after.arrivals_per_s is None:
            return None
        arrived += after.arrivals_per_s * (after.at - before.at)
    if first.executing is None or newest.executing is None:
        return None
    piled_up = newest.waiting + newest.executing - first.waiting - first.executing
    return max(0.0, (arrived - piled_up) / (newest.at - first.at))
