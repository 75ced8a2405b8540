"""Requests as a fluid through a gateway and replicas with a queue each.

What flows is mass, not single requests, in steps of `STEP_S`: a day at any rate costs the same. This is the deterministic
fluid model of a queue, drawn as cumulative curves of what arrived and what left (G. F. Newell, *Applications of Queueing
Theory*, 1982, chapter 2): with x requests in a replica

    dx/dt = arrivals(t) - rate(x),   wait of what arrives now = queued(x) / rate(x),

as the queue in front of it leaves first (first in, first out) at the rate that stands then. Chance enters by the arrivals,
which are whole requests counted per step. Envoy sends each to a replica with the fewest requests: as a fluid, arrivals fill
the lowest replicas first, like water (`_pour`). Replicas with equally many are one `Group`, so that the work of a step does
not grow with the number of replicas.

Exact where replicas have more to do than they can: there the wait is all. Below that it says less than one batch's time wrong
(see the tests, which compare it with single requests).
"""

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from forebay_operator.cli.simulate.pace import Pace

STEP_S: Final = 0.05
WINDOW: Final = 64.0
"""Requests in a replica up to which the gateway lets held ones go: its first window."""
TRICKLE_PER_S: Final = 8.0
"""Held requests for each replica that go however full it is."""
_EMPTY: Final = 0.05
_EVEN: Final = 1e-9
_TRACE: Final = 1e-3
"""Requests in a replica that are none any more: a fluid drains for ever, a server does not."""


@dataclass(slots=True)
class Group:
    """So many replicas with equally many requests in each."""

    replicas: int
    inside: float = 0.0


@dataclass(slots=True)
class Waits:
    """What became of all requests, in the order of their ends: so much mass waited so long for its execution."""

    mass: "array[float]" = field(default_factory=lambda: array("d"))
    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    arrived_at: "array[float]" = field(default_factory=lambda: array("d"))
    failed: float = 0.0
    """Held for longer than the hold allows."""

    def add(self, mass: float, seconds: float, arrived_at: float) -> None:
        self.mass.append(mass)
        self.seconds.append(seconds)
        self.arrived_at.append(arrived_at)


@dataclass(slots=True)
class Fluid:
    """The gateway's hold and the ready replicas of one model, those that are leaving included."""

    pace: Pace
    hold_s: float = 45.0
    groups: list[Group] = field(default_factory=list[Group])
    """Those that get requests, the emptiest first."""
    leaving: list[Group] = field(default_factory=list[Group])
    waits: Waits = field(default_factory=Waits)
    ready: int = 0
    """Replicas that get requests."""
    busy_s: float = 0.0
    """Busy instance-seconds of those that get requests, since the last look."""
    _held: deque[tuple[float, float]] = field(default_factory=deque[tuple[float, float]])
    """Time of arrival and mass."""

    @property
    def draining(self) -> int:
        return sum(group.replicas for group in self.leaving) if self.leaving else 0

    @property
    def held(self) -> float:
        return sum(mass for _, mass in self._held) if self._held else 0.0

    @property
    def queued(self) -> float:
        return sum(group.replicas * self.pace.queued(group.inside) for group in self.groups)

    @property
    def inside(self) -> float:
        """Requests in the replicas that get new ones."""
        return sum(group.replicas * group.inside for group in self.groups)

    def add(self, replicas: int) -> None:
        """Replicas got ready."""
        self.ready += replicas
        self.groups.insert(0, Group(replicas))

    def remove(self, replicas: int) -> None:
        """Take the emptiest away: they finish what they have."""
        while replicas and self.groups:
            group = self.groups[0]
            gone = min(replicas, group.replicas)
            self.leaving.append(Group(gone, group.inside))
            group.replicas -= gone
            self.ready -= gone
            replicas -= gone
            if not group.replicas:
                del self.groups[0]

    def flow(self, now: float, arrived: float) -> None:
        """Let `STEP_S` pass in which so many requests arrive; `now` is its end."""
        if not self.groups:
            if arrived:
                self._held.append((now, arrived))
            self._give_up(now)
        else:
            if self._held:
                self._let_go(now)
            if arrived:
                self._pour(arrived, now, 0.0)
            self._drain()
        if self.leaving:
            for group in self.leaving:
                group.inside = self.pace.after(group.inside, STEP_S)
            self.leaving = [group for group in self.leaving if group.inside > _EMPTY]

    def _drain(self) -> None:
        pace, busy = self.pace, 0.0
        for group in self.groups:
            if group.inside:
                left = pace.after(group.inside, STEP_S)
                busy += group.replicas * min(left, pace.instances)
                group.inside = left if left > _TRACE else 0.0
        self.busy_s += busy * STEP_S

    def _pour(self, mass: float, arrived_at: float, waited: float) -> None:
        """Fill the emptiest replicas first, and note how long each part will have waited."""
        groups, rest = self.groups, mass
        while rest > 0.0:
            lowest = groups[0]
            while len(groups) > 1 and groups[1].inside - lowest.inside <= _EVEN:
                lowest.replicas += groups.pop(1).replicas
            poured = rest
            if len(groups) > 1:
                poured = min(rest, (groups[1].inside - lowest.inside) * lowest.replicas)
            rise = poured / lowest.replicas
            self.waits.add(poured, waited + self.pace.wait_s(lowest.inside + rise / 2.0), arrived_at)
            lowest.inside += rise
            rest -= poured

    def _let_go(self, now: float) -> None:
        """Held requests go, oldest first, as far as there is room in the replicas."""
        ready = self.ready
        window = max(WINDOW, self.pace.capacity)
        room = max(ready * window - self.inside, TRICKLE_PER_S * STEP_S * ready)
        while self._held and room > 0.0:
            arrived_at, mass = self._held.popleft()
            gone = min(mass, room)
            self._pour(gone, arrived_at, now - arrived_at)
            room -= gone
            if gone < mass:
                self._held.appendleft((arrived_at, mass - gone))
        self._give_up(now)

    def _give_up(self, now: float) -> None:
        while self._held and now - self._held[0][0] > self.hold_s:
            self.waits.failed += self._held.popleft()[1]
