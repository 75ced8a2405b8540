"""The simulated servers there are, how they come and how they go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from forebay_operator.domain.actions import ResizePool
from forebay_operator.domain.routes import Endpoint
from forebay_operator.domain.snapshot import DeviceClass, HoldingPhase, Pool, Server, ServerPhase
from forebay_operator.worlds.simulated.server import SimulatedServer, Surroundings
from forebay_operator.worlds.simulated.timeline import Timeline

FIRST_PORT = 20_000
UP = frozenset({ServerPhase.STARTING, ServerPhase.READY})


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    start_s: float = 2.0
    """From the order to a ready server."""
    page_every_s: float = 1.0
    lost_after_s: float = 6.0
    """A ready server that has not answered for so long is called lost."""
    removed_after_s: float = 12.0
    """A lost server that still has not answered after this long is ended and removed."""
    gone_after_s: float = 1.0
    """From the death of a process until its device is free again."""
    tells_what_loads_need: bool = True
    """Whether a server that refuses a load says how much memory it found that to need."""


@dataclass(slots=True, eq=False)
class Fleet:
    """A server's name and endpoint are never used again. A device is busy until its server has been removed."""

    settings: FleetSettings
    timeline: Timeline
    surroundings: Surroundings
    capacity: Mapping[DeviceClass, int | None]
    servers: dict[str, SimulatedServer] = field(default_factory=dict[str, SimulatedServer])
    by_endpoint: dict[Endpoint, SimulatedServer] = field(default_factory=dict[Endpoint, SimulatedServer])
    hanging_starts: int = 0
    """So many of the next servers never get ready."""
    started_at: list[float] = field(default_factory=list[float])
    """When each server was started, those that are gone included."""

    def resize(self, order: ResizePool) -> None:
        """Have so many servers, as far as devices are free. More than that: victims go, unless they hold something.

        A victim is chosen because it holds nothing; when it holds something by the time the order arrives, the order is old.
        """
        for name in order.victims:
            if self._size(order.pool) > order.servers:
                self._dismiss(order.pool, name)
        while self._size(order.pool) < order.servers and self._device_free(order.pool.device):
            self._start(order.pool)

    def page(self) -> tuple[Server, ...]:
        """What the controller knows of the servers."""
        return tuple(self._seen(server) for server in self.servers.values())

    def ready(self) -> list[SimulatedServer]:
        return [server for server in self.servers.values() if server.phase is ServerPhase.READY]

    def kill(self, server: SimulatedServer, message: str) -> None:
        """End a server's process at once, with the requests in it; soon its device is free again."""
        server.phase, server.message = ServerPhase.LOST, message
        self.surroundings.died(server.kill())
        self.timeline.after(self.settings.gone_after_s, partial(self.remove, server))

    def remove(self, server: SimulatedServer) -> None:
        self.servers.pop(server.name, None)
        self.by_endpoint.pop(server.endpoint, None)

    def busy(self, device: DeviceClass) -> int:
        """How many devices of a class are taken."""
        return sum(server.pool.device == device for server in self.servers.values())

    def _size(self, pool: Pool) -> int:
        """Servers that are up or start: one that drains or is lost keeps its device, and is no server of the pool any more."""
        return sum(server.pool == pool and server.phase in UP for server in self.servers.values())

    def _device_free(self, device: DeviceClass) -> bool:
        allowed = self.capacity.get(device, 0)
        return allowed is None or self.busy(device) < allowed

    def _start(self, pool: Pool) -> None:
        self.started_at.append(self.timeline.now)
        number = len(self.started_at)
        port = FIRST_PORT + 2 * number
        server = SimulatedServer(
            name=f"{pool.namespace}-{pool.device.name}-{number}",
            pool=pool,
            endpoint=Endpoint("127.0.0.1", port, port + 1),
            started_at=self.timeline.now,
            timeline=self.timeline,
            surroundings=self.surroundings,
            tells_what_loads_need=self.settings.tells_what_loads_need,
        )
        self.servers[server.name] = server
        self.by_endpoint[server.endpoint] = server
        if self.hanging_starts > 0:
            self.hanging_starts -= 1
            server.message = "it does not answer yet"
        else:
            self.timeline.after(self.settings.start_s, partial(self._started, server))

    def _started(self, server: SimulatedServer) -> None:
        if server.alive and server.name in self.servers:
            server.phase = ServerPhase.READY
            self._read(server)

    def _read(self, server: SimulatedServer) -> None:
        """Read the server's pages, now and again; one that does not answer for long is lost, one that answers is not."""
        if not server.alive or server.name not in self.servers:
            return
        server.read_page()
        self._judge(server, silent_s=self.timeline.now - (server.page_read_at or server.started_at))
        self.timeline.after(self.settings.page_every_s, partial(self._read, server))

    def _judge(self, server: SimulatedServer, silent_s: float) -> None:
        if server.phase is ServerPhase.READY and silent_s > self.settings.lost_after_s:
            server.phase, server.message = ServerPhase.LOST, f"it has not answered for {silent_s:.0f} s"
        elif server.phase is ServerPhase.LOST and silent_s == 0.0:
            server.phase, server.message = ServerPhase.READY, ""
        elif silent_s > self.settings.removed_after_s:
            self.kill(server, f"it was ended after {silent_s:.0f} s without an answer")

    def _dismiss(self, pool: Pool, name: str) -> None:
        server = self.servers.get(name)
        if server is None or server.pool != pool or server.phase is ServerPhase.DRAINING:
            return
        if server.phase is ServerPhase.READY:
            if not any(replica.phase is not HoldingPhase.FAILED for replica in server.replicas.values()):
                server.drain()
        else:
            self.surroundings.died(server.kill())
            self.remove(server)

    def _seen(self, server: SimulatedServer) -> Server:
        return Server(
            name=server.name,
            pool=server.pool,
            phase=server.phase,
            started_at=server.started_at,
            endpoint=server.endpoint,
            holdings=server.page,
            observed_at=server.page_read_at,
            message=server.message,
            outdated=server.outdated,
        )
