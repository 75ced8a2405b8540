"""What became of every request, and whether that may be.

A value is right if it is that of a revision that was asked for at some moment between the request and its answer. A request
may fail only if it was in flight in a process that was killed. Times are seconds of the monotonic clock.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from chaos_plan import Target

LATE_S: Final = 1.0
"""After the end of a process, others may still write to its connections, until they are told."""
TOLD_WITHIN_S: Final = 10.0
"""A request that was lost with a process fails at once, or as soon as a busy machine comes to it; it never hangs."""


class Cause(StrEnum):
    """How a client sees that a request failed."""

    BROKEN = "connection broken"
    UNAVAILABLE = "503 or UNAVAILABLE"
    UNKNOWN = "404 or NOT_FOUND"
    TIMEOUT = "no answer in time"
    OTHER = "another error"


class Fate(StrEnum):
    """What a failed request counts as."""

    IN_FLIGHT = "in flight in a killed process"
    LATE = "written before a killed process's end was noticed"
    DELETED = "of a model that was just deleted or made"
    LOST = "lost"


ALLOWED: Final = {
    Target.SERVER: {Cause.UNAVAILABLE},
    Target.GATEWAY: {Cause.UNAVAILABLE},
    Target.ENVOY: {Cause.BROKEN, Cause.UNAVAILABLE},
    Target.CONTROLLER: {Cause.BROKEN, Cause.UNAVAILABLE},
}
"""What clients may see of each process's end. The gRPC library calls a broken connection UNAVAILABLE, too."""


@dataclass(frozen=True, slots=True)
class Failure:
    model: str
    protocol: str
    sent: float
    failed: float
    cause: Cause
    text: str


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that we ended."""

    fault: str
    target: Target
    began: float
    gone: float
    models: frozenset[str]
    """Whose requests it may have had."""
    patience_s: float = 0.0
    """It was asked to end, and answers what it has before: nothing may fail earlier than this after it began."""


@dataclass(slots=True)
class _Epoch:
    factor: int
    asked: float
    ended: float = math.inf


class Timeline:
    """Which answers of one model were asked for when, as the one who asks for them knows."""

    def __init__(self) -> None:
        self._epochs: list[_Epoch] = []
        self._away: list[tuple[float, float]] = []

    @property
    def newest(self) -> int:
        return self._epochs[-1].factor

    def asked(self, factor: int, now: float) -> None:
        """Told before it is asked for: an answer cannot come earlier."""
        self._epochs.append(_Epoch(factor, now))

    def is_away(self, now: float) -> None:
        """It is deleted, or not made yet: Forebay need not know it until it was seen to serve."""
        self._away.append((now, math.inf))

    def serves_newest(self, now: float) -> None:
        """It was seen to serve what was asked for last: what is sent from now on is answered by nothing older."""
        for epoch in self._epochs[:-1]:
            epoch.ended = min(epoch.ended, now)
        self._away = [(began, min(ended, now)) for began, ended in self._away]

    def may_answer(self, factor: float, sent: float, answered: float) -> bool:
        return any(epoch.factor == factor and epoch.asked <= answered and sent <= epoch.ended for epoch in self._epochs)

    def was_away(self, sent: float, failed: float) -> bool:
        """Whether Forebay need not have known it at some moment in between."""
        return any(began <= failed and sent <= ended for began, ended in self._away)


@dataclass(slots=True)
class Ledger:
    """Everything that clients saw."""

    timelines: Mapping[str, Timeline]
    sent: Counter[str] = field(default_factory=Counter[str])
    """By protocol, as what follows."""
    right: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    failures: list[Failure] = field(default_factory=list[Failure])
    refused: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """From the first refused connection of a request to the one that was made: nothing was sent meanwhile."""
    waits_s: "array[float]" = field(default_factory=lambda: array("d"))
    longest_s: float = 0.0
    """Of the answered ones; set back by whoever looks at a part of the run."""
    last_right: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    """By model and protocol: when the newest request was sent that was answered right by the newest revision."""

    def answered(self, model: str, protocol: str, factor: float, sent: float, now: float) -> None:
        timeline = self.timelines[model]
        if not timeline.may_answer(factor, sent, now):
            self.wrong.append(
                f"{model} over {protocol}: {factor:g} instead of {timeline.newest}, sent {now - sent:.3f} s before"
            )
            return
        self.right[protocol] += 1
        self.waits_s.append(now - sent)
        self.longest_s = max(self.longest_s, now - sent)
        if factor == timeline.newest:
            self.last_right[model, protocol] = max(sent, self.last_right.get((model, protocol), 0.0))

    def wait_s(self, share: float) -> float:
        """The wait that this share of the answered requests did not pass."""
        ordered = sorted(self.waits_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    failure: Failure
    fate: Fate
    fault: str
    """The kill that explains it; empty: there is none."""


def judge(failures: Iterable[Failure], kills: Iterable[Kill], timelines: Mapping[str, Timeline]) -> list[Judged]:
    """What each failure counts as."""
    known = list(kills)
    return [_judge(failure, known, timelines[failure.model]) for failure in failures]


def _judge(failure: Failure, kills: list[Kill], timeline: Timeline) -> Judged:
    for kill in kills:
        if _explains(kill, failure):
            return Judged(failure, Fate.IN_FLIGHT if failure.sent <= kill.gone else Fate.LATE, kill.fault)
    gone = failure.cause is not Cause.TIMEOUT and timeline.was_away(failure.sent, failure.failed)
    return Judged(failure, Fate.DELETED if gone else Fate.LOST, "")


def _explains(kill: Kill, failure: Failure) -> bool:
    earliest = kill.began + kill.patience_s
    in_time = failure.sent <= kill.gone + LATE_S and earliest <= failure.failed <= kill.gone + TOLD_WITHIN_S
    return in_time and failure.model in kill.models and failure.cause in ALLOWED[kill.target]


def unexplained_refusals(refused: Iterable[tuple[float, float]], outages: Iterable[tuple[float, float]]) -> int:
    """How many connections were refused while nothing that listens was down."""
    known = list(outages)
    return sum(not any(began <= first <= ended for began, ended in known) for first, _ in refused)
