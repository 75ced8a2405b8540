"""Requests, and what became of them: every one that arrived is answered, refused with a reason, or still somewhere."""

import enum
from collections import Counter
from dataclasses import dataclass, field

from forebay_schema.addresses import ModelAddress


class Outcome(enum.Enum):
    ANSWERED = "answered"
    KILLED = "in a server that died"
    HELD_TOO_LONG = "held for longer than the hold allows"
    HOLD_FULL = "more were held than the hold allows"
    STOPPED = "the model is stopped"
    UNKNOWN = "the gateway knows no such model"


@dataclass(slots=True, eq=False)
class Request:
    number: int
    address: ModelAddress
    arrived_at: float
    outcome: Outcome | None = None
    """None: it is held, waits or executes."""
    ended_at: float = 0.0
    version: int = 0
    """The version that answered."""

    @property
    def seconds(self) -> float:
        """From arrival to the end."""
        return self.ended_at - self.arrived_at


@dataclass(slots=True)
class Ledger:
    """Counts what arrived and how it ended, per model."""

    arrived: Counter[ModelAddress] = field(default_factory=Counter[ModelAddress])
    ended: Counter[tuple[ModelAddress, Outcome]] = field(default_factory=Counter[tuple[ModelAddress, Outcome]])
    open: set[Request] = field(default_factory=set[Request])
    last_arrival: dict[ModelAddress, float] = field(default_factory=dict[ModelAddress, float])
    waited: list[float] = field(default_factory=list[float])
    """Seconds from arrival to answer, one for each answered request."""
    _count: int = 0

    def arrive(self, address: ModelAddress, now: float) -> Request:
        self._count += 1
        self.arrived[address] += 1
        self.last_arrival[address] = now
        request = Request(self._count, address, now)
        self.open.add(request)
        return request

    def end(self, request: Request, outcome: Outcome, now: float) -> None:
        """A request ends once; ending it again is a mistake of the simulation, and raises KeyError."""
        self.open.remove(request)
        request.outcome, request.ended_at = outcome, now
        self.ended[request.address, outcome] += 1
        if outcome is Outcome.ANSWERED:
            self.waited.append(request.seconds)

    def by_outcome(self) -> Counter[Outcome]:
        total: Counter[Outcome] = Counter()
        for (_, outcome), count in self.ended.items():
            total[outcome] += count
        return total
