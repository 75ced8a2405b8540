"""When requests wait in front of a model's replicas rather than in them, and how many are let through. No I/O, no clock.

A server answers what it has taken, in order, however long that is: what waits in it cannot go to a replica that joins or is
free earlier. So once the queue at the replicas is longer than *begins*, all requests of the model come to the holder first,
and replicas get as many as keep them busy, a *window*: what they do in the time that one request takes when nothing waits, and
a quarter of a second more. Where that turns out too small, as they do less than they did, it grows.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Final, Protocol

from forebay_schema.addresses import ModelAddress

WORK_S: Final = 0.25
"""How much more than what they work on replicas have."""
BEGINS_S: Final = 0.5
"""The wait in the replicas from which on requests wait in front of them."""
LEAST: Final = 16
"""Requests per replica that are no queue: two batches of eight."""
MOST_PER_S: Final = 1000.0
"""Models whose replicas do more than this are left alone: the holder would hold them up, and their queues are soon done."""
_SAMPLE: Final = 50
"""Answers from which the time that one takes is learned."""
_JUDGE_S: Final = 1.0
_JUDGE_LATENCIES: Final = 4.0
"""A pace is judged over this time at least, and so many times that one request takes: whole batches end at once."""
_ENDS_S: Final = 1.0
_SLOWER: Final = 0.85
_GROWTH: Final = 1.5
_MOST: Final = 4.0
"""Times what should be enough: a window beyond that does not make replicas faster."""
_SHRINK: Final = 0.7
_FORGETS: Final = 0.98


@dataclass(frozen=True, slots=True)
class Load:
    """Of one model, from load report to load report."""

    in_flight: int = 0
    """At the replicas, at its end."""
    done: int = 0
    """Answered by them since the one before."""


NO_LOAD: Final = Load()


@dataclass(frozen=True, slots=True)
class Calm:
    """What is learned of a model while its requests go to the replicas directly."""

    latency_s: float | None = None
    """The least time that requests have taken, on average over a sample. By Little's law: how many there are by how many
    are answered in a second."""
    area: float = 0.0
    done: int = 0
    """Of the sample so far, with the sum of requests in flight over its time."""
    counted: int = 0
    seconds: float = 0.0
    """Of the next pace so far."""
    pace: float | None = None
    """Answers a second, over a time in which it can be judged."""
    crowded_s: float = 0.0
    """For how long there have been too many. Where requests take long, more of them are there before more are answered."""
    crowded_done: int = 0
    """Answered in that time: as many as the replicas can."""

    def with_load(self, load: Load, seconds: float) -> "Calm":
        after = self._with_sample(load, seconds)._with_pace(load, seconds)  # noqa: SLF001 - of its own kind
        if after.pace is None or load.in_flight < after.pace * ((after.latency_s or 0.0) + BEGINS_S):
            return replace(after, crowded_s=0.0, crowded_done=0)
        return replace(after, crowded_s=self.crowded_s + seconds, crowded_done=self.crowded_done + load.done)

    def _with_sample(self, load: Load, seconds: float) -> "Calm":
        area, done = self.area + load.in_flight * seconds, self.done + load.done
        if done < _SAMPLE:
            return replace(self, area=area, done=done)
        latency_s = area / done if self.latency_s is None else min(area / done, self.latency_s)
        return replace(self, latency_s=latency_s, area=0.0, done=0)

    def _with_pace(self, load: Load, seconds: float) -> "Calm":
        counted, over = self.counted + load.done, self.seconds + seconds
        if over < _judged_over(self.latency_s or 0.0):
            return replace(self, counted=counted, seconds=over)
        return replace(self, counted=0, seconds=0.0, pace=counted / over)

    def surge(self, load: Load, replicas: int) -> "Surge | None":
        """The surge that this load is, if it is one."""
        latency_s = self.latency_s
        if latency_s is None or not replicas or load.in_flight < 2 * LEAST * replicas:
            return None
        if self.crowded_s < max(BEGINS_S, _JUDGE_LATENCIES * latency_s) or self.crowded_done > MOST_PER_S * self.crowded_s:
            return None
        surge = Surge(latency_s=latency_s, replicas=replicas, best=self.crowded_done / self.crowded_s)
        return replace(surge, window=surge.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """A model whose requests come to the holder first."""

    latency_s: float
    replicas: int
    best: float
    """Answers a second that the replicas have been able to give."""
    window: float = 0.0
    """Requests that they may have together."""
    floor: float = 0.0
    """A window that was just large enough, where a smaller one was not."""
    done: int = 0
    seconds: float = 0.0
    """Since the last judgement."""
    queued: bool = True
    """Requests have been waiting all the time since."""
    calm_s: float = 0.0
    """For how long nothing has waited."""

    @property
    def wanted(self) -> float:
        return max(self._enough, self.floor)

    @property
    def _enough(self) -> float:
        return max(self.best * (self.latency_s + WORK_S), self.replicas * LEAST)

    @property
    def is_over(self) -> bool:
        return self.calm_s >= _ENDS_S

    def with_load(self, load: Load, seconds: float, *, replicas: int, held: int) -> "Surge":
        changed = replicas / self.replicas
        is_calm = not held and 2 * load.in_flight < self.window
        surge = replace(
            self,
            replicas=replicas,
            window=self.window * changed,
            best=self.best * min(1.0, changed),
            done=self.done + load.done,
            seconds=self.seconds + seconds,
            queued=self.queued and held > 0,
            calm_s=self.calm_s + seconds if is_calm else 0.0,
        )
        return surge.judged() if surge.seconds >= _judged_over(self.latency_s) else surge

    def judged(self) -> "Surge":
        """With another window, by what the replicas have done with this one."""
        rate = self.done / self.seconds
        afresh = replace(self, done=0, seconds=0.0, queued=True, floor=self.floor * _FORGETS)
        if self.queued and rate < _SLOWER * self.best:
            window = min(self.window * _GROWTH, _MOST * self._enough)
            return replace(afresh, window=window, floor=window, best=max(rate, self.best * _FORGETS))
        if self.queued:
            afresh = replace(afresh, best=max(rate, self.best * _FORGETS))
        return replace(afresh, window=max(afresh.wanted, self.window * _SHRINK))


def _judged_over(latency_s: float) -> float:
    """The seconds in which a pace can be told, where a request takes so long."""
    return max(_JUDGE_S, _JUDGE_LATENCIES * latency_s)


class Models(Protocol):
    """What is known of them elsewhere."""

    def replicas(self, address: ModelAddress) -> int: ...

    def held(self, address: ModelAddress) -> int: ...


class Surges:
    """The surges there are, and what is learned of all other models with requests."""

    def __init__(self) -> None:
        self._calm: dict[ModelAddress, Calm] = {}
        self._surges: dict[ModelAddress, Surge] = {}

    @property
    def addresses(self) -> frozenset[ModelAddress]:
        return frozenset(self._surges)

    def __contains__(self, address: ModelAddress) -> bool:
        return address in self._surges

    def window(self, address: ModelAddress) -> int | None:
        """How many requests the replicas of a model may have; None: any number."""
        surge = self._surges.get(address)
        return None if surge is None else int(surge.window)

    def rate(self, address: ModelAddress) -> float:
        """How many requests a second the replicas of a model answer while they are kept busy; 0: it is not known."""
        surge = self._surges.get(address)
        return 0.0 if surge is None else surge.best

    def keep(self, present: Set[ModelAddress]) -> None:
        """Forget all other models."""
        for known in (self._calm, self._surges):
            for address in known.keys() - present:
                del known[address]

    def take(self, loads: Mapping[ModelAddress, Load], seconds: float, models: Models) -> bool:
        """Take a load report, so long after the one before; whether there are other surges now."""
        before = self.addresses
        for address, load in loads.items():
            if address not in self._surges and (load.in_flight or load.done):
                self._learn(address, load, seconds, models.replicas(address))
        for address in before:
            self._follow(address, loads.get(address, NO_LOAD), seconds, models)
        return self.addresses != before

    def _learn(self, address: ModelAddress, load: Load, seconds: float, replicas: int) -> None:
        calm = self._calm[address] = self._calm.get(address, Calm()).with_load(load, seconds)
        if surge := calm.surge(load, replicas):
            self._surges[address] = surge

    def _follow(self, address: ModelAddress, load: Load, seconds: float, models: Models) -> None:
        replicas = models.replicas(address)
        if replicas:
            surge = self._surges[address].with_load(load, seconds, replicas=replicas, held=models.held(address))
            self._surges[address] = surge
        if not replicas or self._surges[address].is_over:
            del self._surges[address]
