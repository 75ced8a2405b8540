"""The traffic of the demo: how many requests a second, and when each one is sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Corner:
    """From the corner before, the rate runs in a straight line to `per_second` at `at_s`."""

    at_s: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Trace:
    """A rate of arrivals over time, as straight lines between corners; nothing before the first and after the last."""

    corners: tuple[Corner, ...]

    @property
    def duration_s(self) -> float:
        return self.corners[-1].at_s

    @property
    def peak_per_second(self) -> float:
        return max(corner.per_second for corner in self.corners)

    def rate(self, at_s: float) -> float:
        """Requests a second at a moment."""
        for left, right in pairwise(self.corners):
            if left.at_s <= at_s < right.at_s:
                share = (at_s - left.at_s) / (right.at_s - left.at_s)
                return left.per_second + share * (right.per_second - left.per_second)
        return 0.0

    def arrivals(self, resolution_s: float = 0.001) -> Iterator[float]:
        """The moments of the requests: each when the area under the rate has grown by one request."""
        area = 1.0
        for step in range(int(self.duration_s / resolution_s)):
            at_s = step * resolution_s
            area += self.rate(at_s) * resolution_s
            if area >= 1.0:
                area -= 1.0
                yield at_s


def traffic_peak(one_replica_per_second: float, replicas: int) -> Trace:
    """A quiet start from zero, a steep peak that needs more than `replicas` - 1 of `replicas`, and a tail."""
    peak = one_replica_per_second * (replicas - 0.7)
    quiet = one_replica_per_second * 0.25
    return Trace(
        (
            Corner(0.0, quiet),
            Corner(6.0, quiet),
            Corner(9.0, peak),
            Corner(27.0, peak),
            Corner(30.0, quiet),
            Corner(35.0, quiet),
        )
    )
