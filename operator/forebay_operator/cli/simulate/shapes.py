"""Shapes of load: requests per second over time, as a user describes them or a file records them."""

from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from forebay_operator.api.fields import DurationText, duration_from, seconds
from forebay_operator.api.objects import ApiModel

Rates = npt.NDArray[np.float64]

Span = Annotated[DurationText, duration_from("1s", "168h")]
Instant = Annotated[DurationText, duration_from("0s", "168h")]
Rate = Annotated[float, Field(ge=0.0, le=1e6)]
_DAY_S: Final = 86_400.0
_MOST_SECONDS: Final = 7 * 86_400
_MOST_REQUESTS: Final = 1e6


class Constant(ApiModel):
    """The same all the time."""

    per_second: Rate

    def rates(self, times: Rates) -> Rates:
        return np.full_like(times, self.per_second)


class Daily(ApiModel):
    """A low rate with peaks at hours of the day, each as a bell."""

    low: Rate
    high: Rate
    peaks: Annotated[tuple[Annotated[float, Field(ge=0.0, lt=24.0)], ...], Field(min_length=1, max_length=24)] = (10.0, 15.0)
    """Hours of the day."""
    width: Span = "1h"
    """Standard deviation of the bell."""
    day: Span = "24h"
    """How long a day is: a shorter one shrinks all of it."""

    def rates(self, times: Rates) -> Rates:
        hours = times / seconds(self.day) * 24.0
        width = seconds(self.width) / 3600.0
        bells = np.zeros_like(times)
        for peak in self.peaks:
            apart = (hours - peak + 12.0) % 24.0 - 12.0
            bells = np.maximum(bells, np.exp(-0.5 * (apart / width) ** 2))
        return self.low + (self.high - self.low) * bells


class Step(ApiModel):
    """A low rate, and a high one between two times of each day."""

    low: Rate
    high: Rate
    begin: Instant = "8h"
    end: Instant = "18h"
    day: Span = "24h"

    def rates(self, times: Rates) -> Rates:
        within = times % seconds(self.day)
        return np.where((within >= seconds(self.begin)) & (within < seconds(self.end)), self.high, self.low)


class FlashCrowd(ApiModel):
    """A low rate that is multiplied from one second to the next, and falls back by halves."""

    low: Rate
    times: Annotated[float, Field(ge=1.0, le=1000.0)]
    """How many times as much comes at once."""
    at: Instant = "20m"
    half_life: Span = "5m"
    every: Span | None = None
    """After how long it comes again; never if not set."""

    def rates(self, times: Rates) -> Rates:
        since = times - seconds(self.at)
        if self.every is not None:
            since = np.where(since >= 0.0, since % seconds(self.every), since)
        crowd = np.where(since >= 0.0, 0.5 ** (np.maximum(since, 0.0) / seconds(self.half_life)), 0.0)
        return self.low * (1.0 + (self.times - 1.0) * crowd)


class OnOff(ApiModel):
    """A rate, then another (nothing if not set), and so on."""

    high: Rate
    low: Rate = 0.0
    on: Span = "10m"
    off: Span = "10m"

    def rates(self, times: Rates) -> Rates:
        on_s, off_s = seconds(self.on), seconds(self.off)
        return np.where(times % (on_s + off_s) < on_s, self.high, self.low)


class Ramp(ApiModel):
    """From one rate to another in a straight line, then it stays."""

    begin: Rate
    end: Rate
    over: Span

    def rates(self, times: Rates) -> Rates:
        return self.begin + (self.end - self.begin) * np.minimum(times / seconds(self.over), 1.0)


class Sparse(ApiModel):
    """Single requests now and then."""

    every: Span
    """The mean time between two."""

    def rates(self, times: Rates) -> Rates:
        return np.full_like(times, 1.0 / seconds(self.every))


class Boundary(ApiModel):
    """A rate that wanders around one at which one replica more or less would do."""

    per_second: Rate
    spread: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    """Standard deviation of the wandering, as a share of the rate."""
    wanders: Span = "1m"
    """For how long it remembers where it was."""

    def rates(self, times: Rates, chance: np.random.Generator | None = None) -> Rates:
        """An Ornstein-Uhlenbeck process, by the second."""
        chance = chance or np.random.default_rng(0)
        keeps = float(np.exp(-1.0 / seconds(self.wanders)))
        draws = chance.standard_normal(int(times[-1]) + 1 if len(times) else 0) * (1.0 - keeps * keeps) ** 0.5
        level, levels = 0.0, np.empty(len(draws))
        for number, draw in enumerate(draws):
            level = level * keeps + draw
            levels[number] = level
        return np.maximum(0.0, self.per_second * (1.0 + self.spread * levels[times.astype(np.int64)]))


class Arrivals(ApiModel):
    """One shape of load, or a file of it."""

    csv: str | None = None
    """A file of lines `second,requests`, relative to the scenario's: what came in each second; others had none."""
    constant: Constant | None = None
    daily: Daily | None = None
    step: Step | None = None
    flash_crowd: FlashCrowd | None = None
    on_off: OnOff | None = None
    ramp: Ramp | None = None
    sparse: Sparse | None = None
    boundary: Boundary | None = None

    @property
    def named(self) -> list[str]:
        """The fields that are set."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    def per_step(self, duration_s: float, step_s: float, chance: np.random.Generator) -> Rates:
        """Requests in each step of a load that is described: independent clients, so Poisson counts."""
        shape: Any = getattr(self, self.named[0])
        times: Rates = np.arange(round(duration_s / step_s), dtype=np.float64) * step_s
        rates = shape.rates(times, chance) if isinstance(shape, Boundary) else shape.rates(times)
        return chance.poisson(rates * step_s).astype(np.float64)


class TraceError(ValueError):
    """A trace cannot be read; the message says where and why."""


def recorded(file: Path) -> Rates:
    """Requests of each second, from a CSV file `second,requests` (a heading is allowed; a second may come more than once).

    Raises:
        TraceError: it cannot be read, or is no such file.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TraceError(f"{file} cannot be read ({error.strerror}): check the path") from None
    except UnicodeDecodeError as error:
        raise TraceError(f"{file} is no UTF-8 (byte {error.start}): save it as UTF-8 text") from None
    rows = [
        _row(file, number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not (number == 1 and line.strip().casefold().startswith("second"))
    ]
    if not rows:
        raise TraceError(f"{file} has no line `second,requests`: a trace needs at least one")
    counts = np.zeros(max(second for second, _ in rows) + 1)
    for second, requests in rows:
        counts[second] += requests
    return counts


def _row(file: Path, number: int, line: str) -> tuple[int, float]:
    cells = line.split(",")
    try:
        second, requests = (float(cell) for cell in cells)
    except ValueError:
        raise TraceError(f"{file}:{number}: {line.strip()[:60]!r} is no `second,requests`: write for example 12,340") from None
    if not 0.0 <= second < _MOST_SECONDS:
        raise TraceError(f"{file}:{number}: second {cells[0].strip()} is out of bounds: seconds count from 0, to a week")
    if not 0.0 <= requests <= _MOST_REQUESTS:
        raise TraceError(
            f"{file}:{number}: {cells[1].strip()} requests in a second: write a number from 0 to {_MOST_REQUESTS:.0f}"
        )
    return int(second), requests


def scattered(counts: Rates, steps_per_s: int, chance: np.random.Generator) -> Rates:
    """Requests of each step, where those of a second come at any time in it. What is no whole request comes at its end."""
    whole = np.floor(counts).astype(np.int64)
    steps = chance.multinomial(whole, [1.0 / steps_per_s] * steps_per_s).astype(np.float64)
    steps[:, -1] += counts - whole
    return steps.reshape(-1)
