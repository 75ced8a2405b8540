"""Virtual time: what is to happen, in order."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

Happening = Callable[[], None]


@dataclass(slots=True)
class Timeline:
    """A clock that moves from one happening to the next. Those planned for the same time happen in the order of planning."""

    now: float
    """Seconds since the epoch; never goes back."""
    _planned: list[tuple[float, int, Happening]] = field(default_factory=list[tuple[float, int, Happening]])
    _count: int = 0

    def at(self, time: float, happening: Happening) -> None:
        """Plan a happening; one in the past happens as soon as time goes on."""
        self._count += 1
        heapq.heappush(self._planned, (max(time, self.now), self._count, happening))

    def after(self, seconds: float, happening: Happening) -> None:
        self.at(self.now + seconds, happening)

    def advance(self, until: float) -> None:
        """Let everything happen that is planned up to and including `until`, which is the time afterwards."""
        while self._planned and self._planned[0][0] <= until:
            self.now, _, happening = heapq.heappop(self._planned)
            happening()
        self.now = max(self.now, until)
