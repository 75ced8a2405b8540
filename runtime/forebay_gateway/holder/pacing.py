"""How many held requests may be let go at a time, so that the rest of a surge stays in front for the next replica.

A window per replica bounds what is in flight there. It doubles while replicas empty it between two load reports, as those of
fast models do, and halves while they do not: like the window of TCP. A trickle always flows, or new requests, which go to the
replicas directly, could keep the held ones waiting.
"""

from dataclasses import dataclass, replace
from typing import Final

FIRST_WINDOW: Final = 64
"""Requests per replica: a few batches."""
TRICKLE: Final = 8
"""Requests per replica and load report that are let go however busy the replicas are."""
_WIDEST: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Pace:
    """What one model may be let go. `replicas` are its ready ones; `in_flight` is from the last load report."""

    replicas: int
    window: int = FIRST_WINDOW
    in_flight: int = 0
    released: int = 0
    """Let go since that report."""

    @property
    def room(self) -> int:
        free = self.replicas * self.window - self.in_flight - self.released
        trickle = self.replicas * TRICKLE - self.released
        return max(free, trickle, 0)

    def with_released(self, count: int) -> "Pace":
        return replace(self, released=self.released + count)

    def with_replicas(self, replicas: int) -> "Pace":
        return replace(self, replicas=replicas)

    def with_report(self, in_flight: int) -> "Pace":
        """The pace after a load report, or after a report that did not come: then take `in_flight` as zero."""
        return replace(self, window=self._next_window(in_flight), in_flight=in_flight, released=0)

    def _next_window(self, in_flight: int) -> int:
        full = self.replicas * self.window
        if self.room == 0 and in_flight * 2 <= full:
            return min(self.window * 2, _WIDEST)
        return max(self.window // 2, FIRST_WINDOW) if in_flight > full else self.window


def bounce_delay_s(attempt: int) -> float:
    """How long a request stays that came although its model is ready: the replica could not be reached, or had no room."""
    return min(0.001 * float(1 << min(attempt, 16)), 1.0)
