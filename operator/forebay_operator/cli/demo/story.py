"""What the demo saw, sampled a few times a second: the material of its table, its plots and its verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from forebay_operator.cli.demo.load import LoadReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the model while traffic runs. Times are seconds into the trace."""

    at_s: float
    sent_per_s: float
    held: int
    """Requests waiting at the gateway: no replica is ready."""
    waiting: int
    """Requests in the queues of the servers."""
    executing: int
    replicas_ready: int
    replicas_wanted: int
    latency_p50_s: float | None
    """Over the answers of the last two seconds; None: there were none."""
    decision: str = ""
    """The last decision of the autoscaler, with its reason."""

    @property
    def queue(self) -> int:
        return self.held + self.waiting


@dataclass(slots=True)
class Story:
    samples: list[Sample] = field(default_factory=list[Sample])
    decisions: list[str] = field(default_factory=list[str])

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        if sample.decision and sample.decision not in self.decisions[-1:]:
            self.decisions.append(sample.decision)

    @property
    def most_replicas(self) -> int:
        return max((sample.replicas_ready for sample in self.samples), default=0)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def recent_latency_s(report: LoadReport, now_s: float, window_s: float = 2.0) -> float | None:
    """The median latency of the requests answered within the last `window_s` seconds."""
    recent: list[float] = []
    for answer in reversed(report.answers):
        if answer.sent_s + answer.latency_s < now_s - window_s:
            break
        recent.append(answer.latency_s)
    return percentile(recent, 0.5)
