"""How many held requests may be let go at a time, so that the rest of a surge stays in front for the next replica.

Two bounds, and the smaller one counts. A *window* per replica bounds what is in flight there. It doubles while replicas empty
it between two load reports, as those of fast models do, and halves while they do not: like the window of TCP. A trickle always
flows, or new requests, which go to the replicas directly, could keep the held ones waiting.

A *wave* is what is let go at once. Replicas whose queues are full send requests back: the next wave is as large as what they
took of the last one, and one more, so that it follows what they finish. That, too, is TCP's: additive increase.
"""

from dataclasses import dataclass, replace
from typing import Final

FIRST_WINDOW: Final = 64
"""Requests per replica: a few batches."""
TRICKLE: Final = 8
"""Requests per replica and load report that are let go however busy the replicas are."""
LARGEST_WAVE: Final = 20
"""More at once would disturb their order in Envoy."""
_WIDEST: Final = 1 << 16
_PAUSE_S: Final = 0.001
TURN_S: Final = 0.02
"""Between waves by what replicas are expected to have finished since the last load report."""
_PROBE_S: Final = 0.01
"""Between waves of which some came back: long enough for replicas to finish something."""
_LONGEST_S: Final = 0.25
"""Between waves of which everything comes back."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What one model may be let go. `replicas` are its ready ones; `in_flight` is from the last load report."""

    replicas: int
    window: int = FIRST_WINDOW
    in_flight: int = 0
    released: int = 0
    """Let go since that report."""
    wave: int = LARGEST_WAVE
    """How many may be let go at once."""
    pause_s: float = _PAUSE_S
    """Until the next wave."""
    let_go: int = 0
    """In the last wave that was not empty."""
    bounced: int = 0
    """How many came back since."""
    bound: int | None = None
    """Requests that all replicas may have, where every request is let go by us; None: some go there directly."""
    rate: float = 0.0
    """With a bound: how many they answer in a second."""
    overfull: float = 0.0
    """What the older replicas have beyond their bound: no reason to keep those that have joined since idle."""
    older: float = 1.0
    """The older ones' part of all replicas."""

    @property
    def room(self) -> int:
        return self.room_after(0.0)

    def room_after(self, seconds: float) -> int:
        """How many may be let go, so long after the load report: replicas will have finished some since."""
        if self.bound is not None:
            there = self.in_flight + self.released
            return max(self.bound - there + min(int(self.rate * seconds), there) + int(self.overfull), 0)
        free = self.replicas * self.window - self.in_flight - self.released
        trickle = self.replicas * TRICKLE - self.released
        return max(free, trickle, 0)

    def with_released(self, count: int) -> "Pace":
        return replace(self, released=self.released + count)

    def with_bound(self, bound: int | None, rate: float = 0.0) -> "Pace":
        return replace(self, bound=bound, rate=rate)

    def with_replicas(self, replicas: int) -> "Pace":
        if self.bound is None or replicas <= self.replicas:
            return replace(self, replicas=replicas)
        overfull = max(self.overfull, float(self.in_flight + self.released - self.bound))
        return replace(self, replicas=replicas, overfull=overfull, older=self.replicas / replicas)

    def with_report(self, in_flight: int) -> "Pace":
        """The pace after a load report, or after a report that did not come: then take `in_flight` as zero."""
        finished = max(self.in_flight + self.released - in_flight, 0)
        overfull = min(max(self.overfull - self.older * finished, 0.0), float(in_flight))
        return replace(self, window=self._next_window(in_flight), in_flight=in_flight, released=0, overfull=overfull)

    def with_bounce(self) -> "Pace":
        """A request came back: the replicas had no room for it, or could not be reached."""
        return replace(self, bounced=self.bounced + 1)

    def before_wave(self) -> "Pace":
        """The next wave and pause, by what became of the last wave."""
        if not self.bounced:
            return replace(self, wave=min(self.wave + 1, LARGEST_WAVE), pause_s=max(self.pause_s / 2, _PAUSE_S))
        taken = max(self.let_go - self.bounced, 0)
        pause_s = _PROBE_S if taken else min(max(self.pause_s * 2, _PROBE_S), _LONGEST_S)
        return replace(self, wave=taken + 1, pause_s=pause_s)

    def after_wave(self, count: int) -> "Pace":
        """So many were let go."""
        return replace(self.with_released(count), let_go=count or self.let_go, bounced=0)

    def _next_window(self, in_flight: int) -> int:
        full = self.replicas * self.window
        if self.room == 0 and in_flight * 2 <= full:
            return min(self.window * 2, _WIDEST)
        return max(self.window // 2, FIRST_WINDOW) if in_flight > full else self.window


def after_bounce(replicas: int) -> Pace:
    """The pace of a model whose replicas sent back a request that nobody had let go."""
    return Pace(replicas, wave=1, pause_s=2 * _PAUSE_S)
