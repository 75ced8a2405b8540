"""What is broken and changed, and when: all of it from a seed, so that a run can be had again."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    KILL = "kill"
    """SIGKILL."""
    STOP = "stop"
    """SIGSTOP, and SIGCONT after a while."""
    STARVE = "starve"
    """On one CPU, beside busy loops, for a while."""
    HANG = "hang"
    """SIGSTOP, and nothing else: Forebay has to notice, end it and replace it."""
    END = "end"
    """SIGTERM, and started again."""


class Target(StrEnum):
    SERVER = "server"
    GATEWAY = "gateway"
    """The process that configures Envoy."""
    ENVOY = "envoy"
    CONTROLLER = "controller"
    """`forebay up` itself."""


class ChangeKind(StrEnum):
    REPLICAS = "replicas"
    BOUNDS = "autoscaling"
    REVISION = "revision"
    RECREATE = "recreate"


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    target: Target
    lasts_s: float
    """Of a stop and of starving."""
    choice: float
    """In [0, 1): which of several servers."""

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.target}"


@dataclass(frozen=True, slots=True)
class Change:
    kind: ChangeKind
    model: str
    number: int
    """Of replicas, or the most of them."""
    away_s: float
    """Between deleting and making it again."""


@dataclass(frozen=True, slots=True)
class Round:
    """Changes, a fault in the middle of what they bring about, and time for it to settle."""

    number: int
    changes: tuple[Change, ...]
    delay_s: float
    fault: Fault


STEADY: Final = "steady"
ROLLED: Final = "rolled"
SCALED: Final = "scaled"
RENEWED: Final = "renewed"
MODELS: Final = (STEADY, ROLLED, SCALED, RENEWED)
ALL_FAULTS: Final = (
    *(f"{kind}-{target}" for kind in (Kind.KILL, Kind.STOP, Kind.STARVE) for target in Target),
    *(f"{Kind.HANG}-{target}" for target in Target if target is not Target.CONTROLLER),
    f"{Kind.END}-{Target.CONTROLLER}",
)
KILLS: Final = tuple(f"{Kind.KILL}-{target}" for target in Target)
_LONGEST_STOP_S: Final = 14.0
"""Longer than a server may be silent before it counts as lost (10 s), shorter than until it is ended (30 s)."""
_CHANGES: Final = {
    ChangeKind.REPLICAS: SCALED,
    ChangeKind.BOUNDS: SCALED,
    ChangeKind.REVISION: ROLLED,
    ChangeKind.RECREATE: RENEWED,
}


def rounds(seed: int, faults: Sequence[str] = ALL_FAULTS) -> Iterator[Round]:
    """Rounds without end: every fault once in an order of chance, then every fault again."""
    chance = random.Random(seed)
    number = 0
    while True:
        for name in chance.sample(faults, len(faults)):
            number += 1
            yield Round(number, _changes(chance), round(chance.uniform(0.0, 3.0), 2), _fault(name, chance))


def _fault(name: str, chance: random.Random) -> Fault:
    kind, _, target = name.partition("-")
    return Fault(Kind(kind), Target(target), round(chance.uniform(1.0, _LONGEST_STOP_S), 1), round(chance.random(), 3))


def _changes(chance: random.Random) -> tuple[Change, ...]:
    """None, one or two, of different models."""
    kinds = chance.sample(sorted(_CHANGES), chance.choice((0, 1, 1, 2)))
    changes = {_CHANGES[kind]: Change(kind, _CHANGES[kind], chance.choice((1, 2)), chance.uniform(0, 1.5)) for kind in kinds}
    return tuple(changes.values())
