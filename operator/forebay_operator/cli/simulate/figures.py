"""What a run comes to: waits, costs and changes, as figures."""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from forebay_operator.cli.simulate.course import Course, Site
from forebay_operator.cli.simulate.fluid import STEP_S, Waits
from forebay_operator.cli.simulate.shapes import Rates

LATE_S: Final = 1.0
"""A request that waits longer is late."""
FEW_LATE: Final = 0.001
"""Share of late requests at which a number of replicas is called enough."""
_HOUR_S: Final = 3600.0

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    policy: str
    requests: float
    p50_s: float
    p99_s: float
    late: float
    """Share of requests that waited for more than `LATE_S`, or failed."""
    failed: float
    """Share of requests that the hold gave up."""
    replica_hours: float
    """Of replicas that were there: starting, ready or leaving."""
    changes: int
    """How often another number of replicas was wanted."""
    most_changes_an_hour: int


def figures(course: Course) -> Figures:
    mass, waited = np.frombuffer(course.waits.mass), np.frombuffer(course.waits.seconds)
    total = float(mass.sum()) + course.waits.failed
    late = float(mass[waited > LATE_S].sum()) + course.waits.failed
    p50, p99 = quantiles(waited, mass, (0.5, 0.99))
    return Figures(
        policy=course.policy,
        requests=total,
        p50_s=p50,
        p99_s=p99,
        late=late / total if total else 0.0,
        failed=course.waits.failed / total if total else 0.0,
        replica_hours=course.replica_seconds / _HOUR_S,
        changes=len(course.changes),
        most_changes_an_hour=_most_within(course.changes, _HOUR_S),
    )


def quantiles(values: Values, mass: Values, shares: tuple[float, ...]) -> list[float]:
    """The least values up to which at least these shares of the mass lie; 0 of nothing."""
    if not len(values):
        return [0.0] * len(shares)
    order = np.argsort(values)
    upto = np.cumsum(mass[order])
    places = np.minimum(np.searchsorted(upto, np.array(shares) * upto[-1]), len(values) - 1)
    return [float(value) for value in values[order][places]]


def waits_over_time(waits: Waits, seconds: float, slices: int, shares: tuple[float, ...]) -> Values:
    """Quantiles of the waits of what arrived in each slice of time: a row for each share."""
    at = np.frombuffer(waits.arrived_at)
    mass, waited = np.frombuffer(waits.mass), np.frombuffer(waits.seconds)
    which = np.minimum((at / seconds * slices).astype(np.int64), slices - 1)
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(slices + 1))
    parts = [order[start:end] for start, end in itertools.pairwise(edges)]
    return np.array([quantiles(waited[part], mass[part], shares) for part in parts]).T


def peak_need(site: Site, arrivals: Rates) -> int:
    """The fewest replicas that, always there, leave no more than `FEW_LATE` of the requests late."""
    low, high = 0, 1
    while _late_share(site, arrivals, high) > FEW_LATE:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _late_share(site, arrivals, middle) > FEW_LATE:
            low = middle
        else:
            high = middle
    return high if arrivals.any() else 0


def _late_share(site: Site, arrivals: Rates, replicas: int) -> float:
    """With so many replicas that are always there: the queue is what came above what could go since it was last empty."""
    capacity = replicas * site.pace.capacity
    surplus = np.cumsum(arrivals - capacity * STEP_S)
    queued = surplus - np.minimum(np.minimum.accumulate(surplus), 0.0)
    total = float(arrivals.sum())
    return float(arrivals[queued > capacity * LATE_S].sum()) / total if total else 0.0


def _most_within(times: list[float], seconds: float) -> int:
    """The most of rising times within so many seconds."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while time - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
