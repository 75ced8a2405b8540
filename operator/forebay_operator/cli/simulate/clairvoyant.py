"""The policy that knows the load: what foresight could save, to measure others by."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from forebay_operator.cli.simulate.course import STEPS_PER_S, Site
from forebay_operator.cli.simulate.shapes import Rates
from forebay_operator.domain.observation import Observation

Counts = npt.NDArray[np.int64]


@dataclass(slots=True)
class Clairvoyant:
    """Replicas ready for every second in which they are needed, ordered a ready delay before; none for longer than it pays.

    The need of a second is the least number with which nobody waits for more than a second. A replica that is not needed for a
    while is kept if that is shorter than another would take to get ready, else taken away: as starting costs as much as the
    ready delay, and the second replica is never needed without the first, this is the least that these needs can cost (each
    level of replicas for itself: ski rental with the end known).
    """

    site: Site
    arrivals: Rates
    name: str = "clairvoyant"
    _plan: Counts = field(init=False)

    def __post_init__(self) -> None:
        self._plan = _plan(self.site, self.arrivals)

    def wanted(self, seen: Observation) -> int:
        return int(self._plan[min(round(seen.now), len(self._plan) - 1)])

    def close(self) -> None:
        """Nothing to end."""


def least_replica_seconds(site: Site, arrivals: Rates) -> float:
    """What no policy can go below: the time in which replicas answer, each batch as large as may be."""
    return float(arrivals.sum()) / site.pace.capacity


def _plan(site: Site, arrivals: Rates) -> Counts:
    """Replicas that are to be there at the end of each second, those that are getting ready included."""
    needs = _needs(site, arrivals)
    delay = int(np.ceil(site.ready_delay_s))
    wanted = np.zeros(len(needs) + 1, dtype=np.int64)
    for level in range(1, int(needs.max(initial=0)) + 1):
        _add_level(wanted, needs >= level, delay)
    return np.minimum(wanted, site.room)


def _add_level(wanted: Counts, needed: npt.NDArray[np.bool_], delay: int) -> None:
    """One more replica wherever it is needed, while it gets ready for that, and in gaps that are too short to let it go."""
    seconds = np.flatnonzero(needed)
    breaks = np.flatnonzero(np.diff(seconds) > delay + 1)
    starts = seconds[np.concatenate(([0], breaks + 1))]
    ends = seconds[np.concatenate((breaks, [len(seconds) - 1]))]
    for start, end in zip(starts, ends, strict=True):
        wanted[max(0, start - delay) : end + 1] += 1


def _needs(site: Site, arrivals: Rates) -> Counts:
    """The least number of replicas ready in each second with which nobody waits for longer than a second."""
    # A load may end within a second.
    counts = np.pad(arrivals, (0, -len(arrivals) % STEPS_PER_S)).reshape(-1, STEPS_PER_S).sum(axis=1)
    capacity = site.pace.capacity
    needs = np.zeros(len(counts), dtype=np.int64)
    left = 0.0
    for second, count in enumerate(counts):
        # What came in this second may go in the next; what was left before may not.
        need = int(np.ceil(max(left, (left + count) / 2.0) / capacity - 1e-9))
        need = max(need, 1 if left + count > 0.0 else 0)
        left = max(0.0, left + count - need * capacity)
        needs[second] = need
    return needs
