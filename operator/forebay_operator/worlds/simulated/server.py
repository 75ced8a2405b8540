"""A simulated server: one device, the replicas on it, and what it does with orders and requests."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.routes import Endpoint
from forebay_operator.domain.snapshot import Holding, HoldingPhase, Pool, ServerPhase
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.replica import Batch, SimulatedReplica
from forebay_operator.worlds.simulated.requests import Request
from forebay_operator.worlds.simulated.timeline import Timeline
from forebay_schema.addresses import ModelAddress

Key = tuple[str, int]


class Surroundings(Protocol):
    """What a server needs of the world around it."""

    def fetch(self, namespace: str, digest: str) -> ModelBehaviour | None:
        """How an artifact behaves; None: it is not in the store."""
        ...

    def load_fault(self, address: ModelAddress) -> str:
        """Why the load that ends now fails; empty: it does not."""
        ...

    def answered(self, server: "SimulatedServer", batch: Batch, version: int) -> None:
        """The requests of a batch have been answered."""
        ...

    def died(self, requests: list[Request]) -> None:
        """A server ended with these requests in it."""
        ...

    def drained(self, server: "SimulatedServer") -> None:
        """The server was told to end, and has nothing more to do."""
        ...


@dataclass(slots=True, eq=False)
class SimulatedServer:
    """Orders may come late or twice: one with an older sequence than one seen for the model is ignored."""

    name: str
    pool: Pool
    endpoint: Endpoint
    started_at: float
    timeline: Timeline
    surroundings: Surroundings
    tells_what_loads_need: bool = True
    phase: ServerPhase = ServerPhase.STARTING
    alive: bool = True
    """False once its process has ended."""
    message: str = ""
    outdated: bool = False
    stalled_until: float = 0.0
    figures_missing_until: float = 0.0
    replicas: dict[Key, SimulatedReplica] = field(default_factory=dict[Key, SimulatedReplica])
    page: tuple[Holding, ...] = ()
    """The holdings as last read by the controller."""
    page_read_at: float | None = None
    _sequences: dict[str, int] = field(default_factory=dict[str, int])
    _loads: deque[SimulatedReplica] = field(default_factory=deque[SimulatedReplica])
    _loading: SimulatedReplica | None = None

    @property
    def stalled(self) -> bool:
        return self.timeline.now < self.stalled_until

    @property
    def used_bytes(self) -> int:
        """What the loaded replicas really take of the device."""
        return sum(replica.behaviour.footprint_bytes for replica in self.replicas.values() if replica.takes_memory)

    def requests(self) -> list[Request]:
        """Those that wait or execute here."""
        return [request for replica in self.replicas.values() for request in replica.requests()]

    def read_page(self) -> None:
        """The controller reads the server's pages; a stalled or dead server does not answer."""
        if not self.alive or self.stalled or self.phase is ServerPhase.STARTING:
            return
        holdings = tuple(replica.holding(provider=self._provider()) for _, replica in sorted(self.replicas.items()))
        missing = self.timeline.now < self.figures_missing_until
        self.page = tuple(without_figures(holding) for holding in holdings) if missing else holdings
        self.page_read_at = self.timeline.now

    def load(self, order: LoadReplica) -> None:
        key = (order.address.name, order.version)
        if not self._takes(order.address.name, order.sequence) or self.phase is not ServerPhase.READY:
            return
        present = self.replicas.get(key)
        if present is None or present.phase is HoldingPhase.FAILED:
            self._begin(order)
        elif present.order.digest != order.digest or present.phase is HoldingPhase.UNLOADING:
            self._let_go(present, successor=order)

    def unload(self, order: UnloadReplica) -> None:
        if not self._takes(order.address.name, order.sequence):
            return
        present = self.replicas.get((order.address.name, order.version))
        if present is not None:
            self._let_go(present, successor=None)

    def offer(self, request: Request, version: int) -> bool:
        """Take a request, or give the retry answer. A stalled server takes it, and is silent."""
        replica = self.replicas.get((request.address.name, version))
        return self.alive and self.phase is not ServerPhase.DRAINING and replica is not None and replica.offer(request)

    def drain(self) -> None:
        """Take nothing new, finish what is here, end."""
        self.phase = ServerPhase.DRAINING
        for replica in list(self.replicas.values()):
            if replica.empty:
                self._remove(replica)
        self._end_when_empty()

    def kill(self) -> list[Request]:
        """End at once; returns the requests that end with it."""
        ended = self.requests()
        self.alive = False
        self.replicas.clear()
        return ended

    def _takes(self, model: str, sequence: int) -> bool:
        if not self.alive or sequence < self._sequences.get(model, 0):
            return False
        self._sequences[model] = sequence
        return True

    def _begin(self, order: LoadReplica) -> None:
        behaviour = self.surroundings.fetch(order.address.namespace, order.digest)
        replica = SimulatedReplica(order, behaviour or ModelBehaviour(), self._start_batch)
        self.replicas[order.address.name, order.version] = replica
        if behaviour is None:
            replica.fail(f"the store has no artifact {order.digest[:12]}", self.timeline.now)
            return
        self._loads.append(replica)
        self._load_next()

    def _load_next(self) -> None:
        """One load at a time, so that the difference in memory means something."""
        while self._loading is None and self._loads:
            replica = self._loads.popleft()
            if self._holds(replica):
                self._loading = replica
                self._when_awake(replica.behaviour.load_s, partial(self._end_load, replica))

    def _end_load(self, replica: SimulatedReplica) -> None:
        self._loading = None
        if self._holds(replica):
            refusal = self._refusal(replica)
            fault = refusal or self.surroundings.load_fault(replica.order.address)
            if fault:
                is_told = bool(refusal) and self.tells_what_loads_need
                replica.fail(fault, self.timeline.now, refused_bytes=replica.behaviour.footprint_bytes if is_told else None)
            else:
                replica.phase = HoldingPhase.READY
        self._load_next()

    def _refusal(self, replica: SimulatedReplica) -> str:
        needed, limit = replica.behaviour.footprint_bytes, replica.order.memory_limit_bytes
        free = self.pool.device.memory_bytes - self.used_bytes
        if needed > free:
            return f"needs {needed} bytes, {free} of {self.pool.device.memory_bytes} are free"
        if limit and needed > limit:
            return f"needs {needed} bytes, its limit is {limit}"
        return ""

    def _holds(self, replica: SimulatedReplica) -> bool:
        return self.alive and self.replicas.get((replica.order.address.name, replica.order.version)) is replica

    def _let_go(self, replica: SimulatedReplica, successor: LoadReplica | None) -> None:
        replica.successor = successor
        if replica.empty:
            self._remove(replica)
        else:
            replica.phase = HoldingPhase.UNLOADING

    def _remove(self, replica: SimulatedReplica) -> None:
        del self.replicas[replica.order.address.name, replica.order.version]
        if replica.successor is not None:
            self._begin(replica.successor)

    def _start_batch(self, replica: SimulatedReplica, batch: Batch, seconds: float) -> None:
        self._when_awake(seconds, partial(self._end_batch, replica, batch))

    def _end_batch(self, replica: SimulatedReplica, batch: Batch) -> None:
        replica.finish(batch)
        self.surroundings.answered(self, batch, replica.order.version)
        draining = self.phase is ServerPhase.DRAINING
        if replica.empty and self._holds(replica) and (draining or replica.phase is HoldingPhase.UNLOADING):
            self._remove(replica)
        self._end_when_empty()

    def _end_when_empty(self) -> None:
        if self.phase is ServerPhase.DRAINING and self.alive and not self.replicas:
            self.alive = False
            self.surroundings.drained(self)

    def _when_awake(self, seconds: float, happening: Callable[[], None]) -> None:
        """Plan something this server does itself: it does not happen once it is dead, and only later while it is stalled."""

        def happen() -> None:
            if self.stalled:
                self.timeline.at(self.stalled_until, happen)
            elif self.alive:
                happening()

        self.timeline.after(seconds, happen)

    def _provider(self) -> str:
        return "cuda" if self.pool.device.kind == "gpu" else "cpu"


def without_figures(holding: Holding) -> Holding:
    """A holding of which the index is known and the metrics are not."""
    return replace(holding, waiting=None, executing=None, busy_seconds=None, completed=None)
