"""One version of a model on a simulated server: its queue, its batches, its counters."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from forebay_operator.domain.actions import LoadReplica
from forebay_operator.domain.snapshot import Holding, HoldingPhase
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.requests import Request

Batch = list[Request]


@dataclass(slots=True, eq=False)
class SimulatedReplica:
    """It computes batches as long as it has a free instance; `start` plans the end of a batch."""

    order: LoadReplica
    behaviour: ModelBehaviour
    start: Callable[["SimulatedReplica", Batch, float], None]
    phase: HoldingPhase = HoldingPhase.LOADING
    reason: str = ""
    failed_at: float | None = None
    refused_bytes: int | None = None
    queue: deque[Request] = field(default_factory=deque[Request])
    batches: list[Batch] = field(default_factory=list[Batch])
    busy_seconds: float = 0.0
    completed: int = 0
    successor: LoadReplica | None = None
    """What to load once this one has been let go."""

    @property
    def instances(self) -> int:
        return self.order.serving.instances or 1

    @property
    def empty(self) -> bool:
        return not self.queue and not self.batches

    @property
    def takes_memory(self) -> bool:
        """Whether its footprint is on the device: not while it loads, as nothing is known of it then."""
        return self.phase in {HoldingPhase.READY, HoldingPhase.UNLOADING}

    def requests(self) -> list[Request]:
        return [*self.queue, *(request for batch in self.batches for request in batch)]

    def offer(self, request: Request) -> bool:
        """Take a request, or answer that it should be tried elsewhere."""
        limit = self.order.serving.max_queue_size
        if self.phase is not HoldingPhase.READY or (limit and len(self.queue) >= limit):
            return False
        self.queue.append(request)
        self.compute()
        return True

    def compute(self) -> None:
        """Start batches while there are waiting requests and free instances."""
        largest = max(1, self.order.serving.max_batch_size)
        while self.queue and len(self.batches) < self.instances:
            batch = [self.queue.popleft() for _ in range(min(largest, len(self.queue)))]
            self.batches.append(batch)
            self.start(self, batch, self.behaviour.batch_s(len(batch)))

    def finish(self, batch: Batch) -> None:
        self.batches.remove(batch)
        self.busy_seconds += self.behaviour.batch_s(len(batch))
        self.completed += len(batch)
        self.compute()

    def fail(self, reason: str, now: float, *, refused_bytes: int | None = None) -> None:
        self.phase, self.reason, self.failed_at, self.refused_bytes = HoldingPhase.FAILED, reason, now, refused_bytes

    def holding(self, *, provider: str) -> Holding:
        """What the server's pages say of it."""
        return Holding(
            model=self.order.address.name,
            version=self.order.version,
            phase=self.phase,
            reason=self.reason,
            digest=self.order.digest,
            footprint_bytes=self.behaviour.footprint_bytes if self.takes_memory else None,
            provider=provider if self.takes_memory else "",
            instances=self.instances,
            waiting=len(self.queue),
            executing=sum(len(batch) for batch in self.batches),
            busy_seconds=self.busy_seconds,
            completed=self.completed,
            failed_at=self.failed_at,
            refused_bytes=self.refused_bytes,
        )
