"""What the autoscaler sees of one model at one time."""

from dataclasses import dataclass

from forebay_operator.domain.wording import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is seen of one model. None: the signal is not known."""

    now: float
    replicas_ready: int
    replicas_starting: int
    """On their way: they have a place."""
    waiting: float | None
    """Requests in the queues of servers."""
    executing: float | None
    held: float | None
    """Requests that wait at the gateway."""
    arrivals_per_s: float | None
    busy_share: float | None
    """Mean share of the time in which the ready replicas were executing, 0 to 1."""

    @property
    def is_quiet(self) -> bool:
        """Whether it is known that nothing is asked of the model."""
        return self.waiting == 0 and self.held == 0 and self.executing == 0 and self.arrivals_per_s == 0

    @property
    def unknown(self) -> str:
        """The signals that are missing, in a sentence; empty: none is."""
        signals = (self.waiting, self.executing, self.held, self.arrivals_per_s, self.busy_share)
        if None not in signals:
            return ""
        missing = [name for name, value in zip(_SIGNALS, signals, strict=True) if value is None]
        return f"Not known: {listed(missing)}."


_SIGNALS = ("waiting requests", "executing requests", "held requests", "arrivals", "the busy share")
