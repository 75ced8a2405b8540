"""When requests arrive at a model: the shapes of load. All are Poisson streams, except `Even` and the bursts of `Bursts`."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Arrivals(Protocol):
    """A shape of load. Seconds count from when the load begins."""

    def times(self, seconds: float, chance: random.Random) -> Iterator[float]:
        """Times of arrival within the first `seconds`, rising."""
        ...


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody asks."""

    def times(self, seconds: float, chance: random.Random) -> Iterator[float]:  # noqa: ARG002 - the protocol's parameters
        return iter(())


@dataclass(frozen=True, slots=True)
class Even:
    """Requests at equal distances: load without chance."""

    per_s: float

    def times(self, seconds: float, chance: random.Random) -> Iterator[float]:  # noqa: ARG002 - the protocol's parameters
        return (number / self.per_s for number in range(1, math.floor(seconds * self.per_s) + 1))


@dataclass(frozen=True, slots=True)
class Constant:
    """Independent clients at a constant rate; a small rate makes sparse requests."""

    per_s: float

    def times(self, seconds: float, chance: random.Random) -> Iterator[float]:
        return poisson(self.per_s, 0.0, seconds, chance)


@dataclass(frozen=True, slots=True)
class OnOff:
    """A constant rate for `on_s`, then nothing for `off_s`, and so on."""

    per_s: float
    on_s: float
    off_s: float

    def times(self, seconds: float, chance: random.Random) -> Iterator[float]:
        start = 0.0
        while start < seconds:
            yield from poisson(self.per_s, start, min(start + self.on_s, seconds), chance)
            start += self.on_s + self.off_s


@dataclass(frozen=True, slots=True)
class Bursts:
    """`size` requests at one moment, about every `every_s`, above a constant rate."""

    per_s: float
    size: int
    every_s: float

    def times(self, seconds: float, chance: random.Random) -> Iterator[float]:
        calm = poisson(self.per_s, 0.0, seconds, chance)
        bursts = [time for time in poisson(1.0 / self.every_s, 0.0, seconds, chance) for _ in range(self.size)]
        return iter(sorted([*calm, *bursts]))


@dataclass(frozen=True, slots=True)
class Ramp:
    """A rate that grows (or falls) evenly from one value to another over `over_s`, then stays."""

    from_per_s: float
    to_per_s: float
    over_s: float

    def times(self, seconds: float, chance: random.Random) -> Iterator[float]:
        highest = max(self.from_per_s, self.to_per_s)
        # Thinning (Lewis and Shedler, 1979): draw at the highest rate, keep each with the share its own time has.
        return (time for time in poisson(highest, 0.0, seconds, chance) if chance.random() * highest < self._rate(time))

    def _rate(self, time: float) -> float:
        share = min(1.0, time / self.over_s)
        return self.from_per_s + (self.to_per_s - self.from_per_s) * share


@dataclass(frozen=True, slots=True)
class Recorded:
    """Arrivals of a trace."""

    at_s: tuple[float, ...]

    def times(self, seconds: float, chance: random.Random) -> Iterator[float]:  # noqa: ARG002 - the protocol's parameters
        return (time for time in sorted(self.at_s) if time <= seconds)


def poisson(per_s: float, start: float, end: float, chance: random.Random) -> Iterator[float]:
    """Times between `start` and `end` at which independent clients ask, `per_s` on average."""
    if per_s <= 0.0:
        return
    time = start + chance.expovariate(per_s)
    while time < end:
        yield time
        time += chance.expovariate(per_s)
