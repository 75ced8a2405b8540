"""Whether figures grow.

The first third of a run is warm-up. Through the rest a line is laid by Theil and Sen's way (the median of the slopes of all
pairs), which single outliers do not move. A figure is flat if what the line rises over that part is at most `SHARE` of the
median there, or at most `least`: below that, one more cache line or one more connection would be a verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WARM_UP: Final = 1 / 3
SHARE: Final = 0.05
_MOST_POINTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Trend:
    median: float
    per_hour: float
    growth: float
    """Over the judged part."""
    flat: bool


def trend(seconds: Sequence[float], values: Sequence[float], least: float) -> Trend:
    """The trend of a figure that was seen at these moments: at least three, in order."""
    times, figures = np.asarray(seconds, float), np.asarray(values, float)
    judged = times >= times[0] + WARM_UP * (times[-1] - times[0])
    times, figures = times[judged], figures[judged]
    step = -(-len(times) // _MOST_POINTS)
    slope = _median_slope(times[::step], figures[::step])
    growth, middle = float(slope * (times[-1] - times[0])), float(np.median(figures))
    return Trend(middle, float(slope * 3600), growth, growth <= max(SHARE * middle, least))


def _median_slope(times: NDArray[np.float64], figures: NDArray[np.float64]) -> float:
    first, second = np.triu_indices(len(times), 1)
    return float(np.median((figures[second] - figures[first]) / (times[second] - times[first]))) if len(first) else 0.0
