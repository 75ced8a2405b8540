"""Figures of one loaded version, as Triton's statistics and metrics report them. Times in nanoseconds."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class FailureReason(Enum):
    """Labels of `nv_inference_request_failure`."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


@dataclass(slots=True)
class Duration:
    """How often, and how long in total."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        self.count += count
        self.ns += ns * count


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """What one execution of a batch took."""

    input_ns: int
    infer_ns: int
    output_ns: int
    total_ns: int
    """The whole time that the instance was busy with it, a simulated device's pace included."""


@dataclass(slots=True)
class BatchSizeStatistics:
    """Executions with one number of rows."""

    input: Duration = field(default_factory=Duration)
    infer: Duration = field(default_factory=Duration)
    output: Duration = field(default_factory=Duration)


@dataclass(slots=True)
class Statistics:
    """Counters since the version was loaded; mutable, used from the event loop only."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    failures: Counter[FailureReason] = field(default_factory=Counter[FailureReason])
    inference_count: int = 0
    execution_count: int = 0
    last_inference_ms: int = 0
    busy_ns: int = 0
    by_rows: dict[int, BatchSizeStatistics] = field(default_factory=dict[int, BatchSizeStatistics])

    def executed(self, rows: int, times: BatchTimes, wall_ms: int) -> None:
        """A batch has run, well or not."""
        self.execution_count += 1
        self.busy_ns += times.total_ns
        self.last_inference_ms = wall_ms
        size = self.by_rows.get(rows)
        if size is None:
            size = self.by_rows[rows] = BatchSizeStatistics()
        size.input.add(times.input_ns)
        size.infer.add(times.infer_ns)
        size.output.add(times.output_ns)

    def succeeded(self, rows: int, total_ns: int, queue_ns: int, times: BatchTimes) -> None:
        """One request has been answered."""
        self.inference_count += rows
        self.success.add(total_ns)
        self.queue.add(queue_ns)
        self.compute_input.add(times.input_ns)
        self.compute_infer.add(times.infer_ns)
        self.compute_output.add(times.output_ns)

    def failed(self, reason: FailureReason, total_ns: int) -> None:
        """One request that was in the queue has not been answered."""
        self.failures[reason] += 1
        self.fail.add(total_ns)
