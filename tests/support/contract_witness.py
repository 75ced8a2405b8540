"""What the contract asks of every world, and how its tests look at one."""

from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any, Protocol

from forebay_operator.domain.actions import Action, LoadReplica, ResizePool, StartConversion, UnloadReplica
from forebay_operator.domain.deployment import Deployment, Serving
from forebay_operator.domain.revisions import identify
from forebay_operator.domain.snapshot import (
    Conversion,
    ConversionPhase,
    Holding,
    HoldingPhase,
    Pool,
    Server,
    ServerPhase,
    Snapshot,
)
from forebay_operator.domain.status import Artifact
from forebay_operator.worlds import World
from forebay_schema.addresses import ModelAddress

Json = dict[str, Any]
PATIENCE_S = 180.0
"""In the time of the world: some run on a busy machine."""


class Site(Protocol):
    """A world with two simulated devices, and what its users and its misfortunes do to it."""

    namespace: str
    pool: Pool
    source: str
    """URI of a model `y = 3 x` that converts, loads and takes a fifth of a second for each batch."""
    nowhere: str
    """URI at which there is nothing."""
    keeps_servers: bool
    """Whether servers outlive the controller."""

    @property
    def world(self) -> World: ...

    async def pass_time(self) -> None:
        """A moment, in which whatever is under way goes on."""
        ...

    async def apply(self, content: Json) -> None:
        """A user applies a ModelDeployment."""
        ...

    async def delete(self, name: str) -> None:
        """A user deletes one."""
        ...

    async def lose(self, server: Server) -> None:
        """A server's process ends, and does not come back."""
        ...

    def ask(self, server: Server, address: ModelAddress, version: int, requests: int) -> Awaitable[int]:
        """Ask a server so many times at once. Gives, in the end, how many were answered."""
        ...

    async def restart(self) -> None:
        """The controller ends and starts again: a new world over the same state."""
        ...

    async def close(self) -> None: ...


class Witness:
    """Looks at a world again and again, as the control loop does, and sees that `now` never goes back."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._latest = 0.0
        self._last_sequence = 0
        self._versions = 0
        self._artifact: Artifact | None = None

    def look(self) -> Snapshot:
        snapshot = self.site.world.observe()
        assert snapshot.now >= self._latest, f"time went back by {self._latest - snapshot.now} s"
        self._latest = snapshot.now
        return snapshot

    async def until(self, condition: Callable[[Snapshot], object], what: str, *orders: Action) -> Snapshot:
        """What is seen as soon as the condition holds. Orders are given at every look before: twice does no harm."""
        snapshot = self.look()
        deadline = snapshot.now + PATIENCE_S
        while not condition(snapshot):
            assert snapshot.now < deadline, f"waited {PATIENCE_S:.0f} s in vain for {what}: {snapshot}"
            self.site.world.act(orders)
            await self.site.pass_time()
            snapshot = self.look()
        return snapshot

    async def apply(self, name: str, source: str = "") -> Deployment:
        """Apply a ModelDeployment; returns it as the step sees it."""
        content: Json = {
            "apiVersion": "forebay.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": name, "namespace": self.site.namespace},
            "spec": {"model": {"source": {"uri": source or self.site.source}, "format": "onnx"}},
        }
        await self.site.apply(content)
        address = ModelAddress(self.site.namespace, name)
        snapshot = await self.until(lambda seen: deployment_of(seen, address), f"{name} to be seen")
        found = deployment_of(snapshot, address)
        assert found is not None
        return found

    async def a_ready_server(self) -> Server:
        """One that is ready; started unless there is one. There are servers only where there is a ModelDeployment."""
        await self.apply("converted")
        order = ResizePool(pool=self.site.pool, servers=1)
        return ready_servers(await self.until(ready_servers, "a ready server", order))[0]

    async def an_artifact(self) -> Artifact:
        """What the source is converted to; converted once."""
        if self._artifact is None:
            start = start_of(await self.apply("converted"))
            snapshot = await self.until(lambda seen: has_ended(seen, start), "the conversion", start)
            conversion = conversion_of(snapshot, start)
            assert conversion is not None
            assert conversion.artifact is not None, conversion
            self._artifact = conversion.artifact
        return self._artifact

    async def a_load(self, server: Server, name: str = "model", digest: str = "") -> LoadReplica:
        """An order to load a version that nothing was told of before."""
        self._versions += 1
        return LoadReplica(
            server=server.name,
            address=ModelAddress(self.site.namespace, name),
            version=self._versions,
            digest=digest or (await self.an_artifact()).digest,
            serving=Serving(max_batch_size=1),
            memory_limit_bytes=0,
            sequence=self.next_sequence(),
        )

    async def loaded(self, server: Server, name: str = "model") -> LoadReplica:
        """The order by which a server has come to hold a version, ready."""
        order = await self.a_load(server, name)
        await self.until(lambda seen: is_ready(seen, order), f"{name} to be ready", order)
        return order

    async def unload(self, order: LoadReplica) -> None:
        """Have a server let go of what an order had it load."""
        letting_go = self.an_unload(order)
        await self.until(lambda seen: holding_of(seen, order) is None, f"{order.address} to be unloaded", letting_go)

    def an_unload(self, order: LoadReplica, sequence: int = 0) -> UnloadReplica:
        sequence = sequence or self.next_sequence()
        return UnloadReplica(server=order.server, address=order.address, version=order.version, sequence=sequence)

    def next_sequence(self) -> int:
        self._last_sequence = max(self._last_sequence + 1, int(self._latest * 1000))
        return self._last_sequence

    def kept(self) -> tuple[Snapshot, Snapshot]:
        """A snapshot, and a copy of it."""
        snapshot = self.look()
        return snapshot, deepcopy(snapshot)


def deployment_of(snapshot: Snapshot, address: ModelAddress) -> Deployment | None:
    return next((each for each in snapshot.deployments if each.address == address), None)


def server_of(snapshot: Snapshot, name: str) -> Server | None:
    return next((each for each in snapshot.servers if each.name == name), None)


def ready_servers(snapshot: Snapshot) -> list[Server]:
    return [each for each in snapshot.servers if each.phase is ServerPhase.READY]


def holding_of(snapshot: Snapshot, order: LoadReplica) -> Holding | None:
    """What a server shows of the version that it was told to load."""
    server = server_of(snapshot, order.server)
    held = server.holdings if server else ()
    return next((each for each in held if (each.model, each.version) == (order.address.name, order.version)), None)


def is_ready(snapshot: Snapshot, order: LoadReplica) -> bool:
    holding = holding_of(snapshot, order)
    return holding is not None and holding.phase is HoldingPhase.READY and holding.footprint_bytes is not None


def has_failed(snapshot: Snapshot, order: LoadReplica) -> bool:
    holding = holding_of(snapshot, order)
    return holding is not None and holding.phase is HoldingPhase.FAILED


def start_of(deployment: Deployment, attempt: int = 1) -> StartConversion:
    """The order to convert what a ModelDeployment asks for."""
    spec = deployment.spec
    return StartConversion(
        id=identify(deployment.address.namespace, spec).conversion,
        attempt=attempt,
        source=spec.source,
        verification=spec.verification,
        max_batch_size=spec.serving.max_batch_size,
    )


def conversion_of(snapshot: Snapshot, start: StartConversion) -> Conversion | None:
    return next((each for each in snapshot.conversions if each.id == start.id), None)


def has_ended(snapshot: Snapshot, start: StartConversion) -> bool:
    """Whether this attempt has come to an end."""
    found = conversion_of(snapshot, start)
    return found is not None and found.attempt == start.attempt and found.phase is not ConversionPhase.RUNNING
