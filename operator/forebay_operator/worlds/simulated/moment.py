"""One step, as the invariants look at it: what was seen, what was ordered, and what the world knows to be true."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from forebay_operator.domain.actions import Action, LoadReplica, ResizePool, SetRoutes, UnloadReplica, WriteStatus
from forebay_operator.domain.deployment import Deployment, Placement
from forebay_operator.domain.fleet import ReplicaKey
from forebay_operator.domain.routes import Route
from forebay_operator.domain.snapshot import DeviceClass, Holding, HoldingPhase, Pool, Server, ServerPhase, Snapshot
from forebay_operator.domain.status import Artifact, DeploymentStatus, FootprintSource, RevisionRecord
from forebay_schema.addresses import ModelAddress

A = TypeVar("A")


@dataclass(frozen=True, kw_only=True)
class Moment:
    seconds: float
    """Since the beginning of the world."""
    snapshot: Snapshot
    actions: tuple[Action, ...]
    digests: Mapping[str, frozenset[str]]
    """By uid: artifacts of all specs that the ModelDeployment has had."""
    last_arrival: Mapping[ModelAddress, float]
    """Time of the newest request of each model."""
    said: Mapping[str, int]
    """By uid: the replicas wanted, as the step said last, even if the status was lost; without memory, as the status says."""
    given_before: Set[ReplicaKey]
    """Orders to unload of steps before: one that is given again decides nothing new."""
    failed_before: Set[tuple[ModelAddress, int]]
    """Versions of which a load was seen to fail."""
    remembers_s: float
    """For how long the controller has had its memory: 0 in the first step after it was lost."""
    orders_are_late: bool
    """Whether a late order happened just now, or is still on its way."""
    actions_with_memory: tuple[Action, ...] | None = None
    """Set when this step came without memory: what it would have ordered with what was lost."""

    def ordered(self, kind: type[A]) -> list[A]:
        return [action for action in self.actions if isinstance(action, kind)]

    @cached_property
    def loads(self) -> list[LoadReplica]:
        return self.ordered(LoadReplica)

    @cached_property
    def unloads(self) -> list[UnloadReplica]:
        return self.ordered(UnloadReplica)

    @cached_property
    def resizes(self) -> list[ResizePool]:
        return self.ordered(ResizePool)

    @cached_property
    def statuses(self) -> list[WriteStatus]:
        return self.ordered(WriteStatus)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The route table after this step."""
        tables = self.ordered(SetRoutes)
        return tables[-1].routes if tables else self.snapshot.routes

    @cached_property
    def servers(self) -> dict[str, Server]:
        return {server.name: server for server in self.snapshot.servers}

    @cached_property
    def deployments(self) -> dict[ModelAddress, Deployment]:
        return {deployment.address: deployment for deployment in self.snapshot.deployments}

    def status_of(self, deployment: Deployment) -> DeploymentStatus | None:
        """The status as it is once this step's writes are done."""
        written = [action.status for action in self.statuses if action.uid == deployment.uid]
        return written[-1] if written else deployment.status

    def wanted(self, deployment: Deployment) -> int | None:
        """How many replicas are wanted after this step, as the status says; None: nothing is said yet."""
        status = self.status_of(deployment)
        return status.scaling.wanted if status is not None and status.scaling is not None else None

    def records_of(self, deployment: Deployment) -> tuple[RevisionRecord, ...]:
        status = self.status_of(deployment)
        return status.revisions if status else ()

    def holdings_of(self, address: ModelAddress) -> Iterator[tuple[Server, Holding]]:
        """What servers that answer hold under a model's name; also what another ModelDeployment of that name left."""
        for server in self.snapshot.servers:
            if server.pool.namespace == address.namespace and server.phase is not ServerPhase.LOST:
                for holding in server.holdings:
                    if holding.model == address.name:
                        yield server, holding

    def is_new_end(self, server: Server, holding: Holding) -> bool:
        """Whether it is this step that ends a replica, and no order of before that is only given again."""
        return self.ends(server, holding) and ReplicaKey(server.name, holding.model, holding.version) not in self.given_before

    def ready_replicas(self, deployment: Deployment) -> list[tuple[Server, Holding]]:
        """Replicas of this very ModelDeployment that answer: of a revision and an artifact of its own."""
        numbers = {record.number for record in self.records_of(deployment)}
        if deployment.status is not None:
            numbers.update(record.number for record in deployment.status.revisions)
        return [
            (server, holding)
            for server, holding in self.holdings_of(deployment.address)
            if server.phase is ServerPhase.READY
            and holding.phase is HoldingPhase.READY
            and holding.version in numbers
            and holding.digest in self.digests.get(deployment.uid, frozenset())
        ]

    def ends(self, server: Server, holding: Holding) -> bool:
        """Whether this step ends a replica: by an order to unload it, or to end its server."""
        dismissed = any(resize.pool == server.pool and server.name in resize.victims for resize in self.resizes)
        return dismissed or any(
            order.server == server.name and order.address.name == holding.model and order.version == holding.version
            for order in self.unloads
        )

    def artifacts(self) -> Iterator[Artifact]:
        """All that this step can know of artifacts."""
        for conversion in self.snapshot.conversions:
            if conversion.artifact is not None:
                yield conversion.artifact
        for deployment in self.snapshot.deployments:
            for record in self.records_of(deployment):
                if record.artifact is not None:
                    yield record.artifact

    def footprint(self, address: ModelAddress, version: int, digest: str) -> int:
        """Bytes that one more replica of a version is to be counted with: as measured, else declared, else estimated."""
        measured = list(self._measured(address, version))
        if measured:
            return min(measured)
        deployment = self.deployments.get(address)
        declared = deployment.spec.placement.memory_bytes if deployment else None
        if declared is not None:
            return declared
        return min((artifact.memory_bytes for artifact in self.artifacts() if artifact.digest == digest), default=0)

    def _measured(self, address: ModelAddress, version: int) -> Iterator[int]:
        deployment = self.deployments.get(address)
        for record in self.records_of(deployment) if deployment else ():
            footprint = record.footprint
            if record.number == version and footprint is not None and footprint.source is FootprintSource.MEASURED:
                yield footprint.bytes
        for _, holding in self.holdings_of(address):
            if holding.version == version and holding.footprint_bytes is not None:
                yield holding.footprint_bytes

    def used_bytes(self, server: Server) -> int:
        """What is taken of a device: by what the server holds, and by what this step orders to be loaded there."""
        held = {
            (holding.model, holding.version): self._held_bytes(server, holding)
            for holding in server.holdings
            if holding.phase is not HoldingPhase.FAILED
        }
        ordered = {
            (order.address.name, order.version): self.footprint(order.address, order.version, order.digest)
            for order in self.loads
            if order.server == server.name and (order.address.name, order.version) not in held
        }
        return sum(held.values()) + sum(ordered.values())

    def _held_bytes(self, server: Server, holding: Holding) -> int:
        if holding.footprint_bytes is not None:
            return holding.footprint_bytes
        address = ModelAddress(server.pool.namespace, holding.model)
        return self.footprint(address, holding.version, holding.digest)

    def wanted_servers(self, device: DeviceClass) -> int:
        """How many devices of a class are taken after this step: lost and draining servers still have theirs."""
        leaving = 0
        sizes: Counter[Pool] = Counter()
        for server in self.snapshot.servers:
            if server.pool.device == device and server.phase in _COMING:
                sizes[server.pool] += 1
            elif server.pool.device == device:
                leaving += 1
        for resize in self.resizes:
            if resize.pool.device == device:
                sizes[resize.pool] = resize.servers
        return leaving + sum(sizes.values())

    def place_for(self, deployment: Deployment, needed: int, without: Set[str] = frozenset()) -> str:
        """Where one more replica that needs so many bytes could go, in words; empty: nowhere."""
        for server in self.snapshot.servers:
            free = server.pool.device.memory_bytes - self.used_bytes(server)
            usable = server.phase in _COMING and server.name not in without and self.belongs(deployment, server.pool)
            if usable and free >= needed:
                return f"{server.name} has {free} bytes free"
        devices = self.suitable_devices(deployment.spec.placement)
        for capacity in self.snapshot.capacity:
            device, allowed = capacity.device, capacity.servers
            if device in devices and device.memory_bytes >= needed and not self._all_taken(device, allowed):
                return f"one more server of {device.name} can be started"
        return ""

    def belongs(self, deployment: Deployment, pool: Pool) -> bool:
        """Whether a pool is one where the replicas of a ModelDeployment may be."""
        placement = deployment.spec.placement
        own = (deployment.address.name, placement.pod_template or "") if placement.exclusive else ("", "")
        mine = pool.namespace == deployment.address.namespace and (pool.exclusive, pool.template) == own
        return mine and pool.device in self.suitable_devices(deployment.spec.placement)

    def suitable_devices(self, placement: Placement) -> set[DeviceClass]:
        """Devices that a placement allows: `auto` means GPUs, real or simulated, where there are any."""
        devices = {capacity.device for capacity in self.snapshot.capacity}
        kinds = {"cpu"} if placement.device == "cpu" else {"gpu", "simulated"}
        if placement.device == "auto" and not any(device.kind in kinds for device in devices):
            kinds = {"cpu"}
        return {
            device
            for device in devices
            if device.kind in kinds and placement.gpu_class in {None, device.name if device.kind != "cpu" else None}
        }

    def _all_taken(self, device: DeviceClass, allowed: int | None) -> bool:
        return allowed is not None and self.wanted_servers(device) >= allowed


_COMING = frozenset({ServerPhase.READY, ServerPhase.STARTING})
