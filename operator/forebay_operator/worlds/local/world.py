"""The local world: what the step sees of this machine, and what becomes of its orders."""

from collections.abc import Sequence
from dataclasses import dataclass

from forebay_operator.domain.actions import (
    Action,
    CollectArtifact,
    ForgetConversion,
    LoadReplica,
    ResizePool,
    SetRoutes,
    StartConversion,
    UnloadReplica,
    WriteStatus,
)
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.snapshot import Capacity, Settings, Snapshot
from forebay_operator.worlds.local.announcements import announcements
from forebay_operator.worlds.local.conversions import Conversions
from forebay_operator.worlds.local.editions import Editions
from forebay_operator.worlds.local.gateway import Gateway
from forebay_operator.worlds.local.objects import Objects, StoredObject
from forebay_operator.worlds.local.servers import Servers
from forebay_operator.worlds.local.store import LocalStore
from forebay_operator.worlds.local.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the world consists of."""

    objects: Objects
    servers: Servers
    conversions: Conversions
    gateway: Gateway
    store: LocalStore


class LocalWorld:
    """Processes of this machine as a world."""

    def __init__(self, around: Surroundings, parts: Parts, capacity: tuple[Capacity, ...], settings: Settings) -> None:
        self.parts = parts
        self._around = around
        self._capacity = capacity
        self._settings = settings
        self._editions = Editions()

    def deployment_of(self, stored: StoredObject) -> Deployment:
        """A ModelDeployment as the step sees it."""
        return self._editions.of(stored.deployment)

    def observe(self) -> Snapshot:
        """The world as it is known now."""
        parts = self.parts
        parts.objects.catch_up()
        return Snapshot(
            now=self._around.clock.now(),
            deployments=tuple(self.deployment_of(stored) for stored in parts.objects.all()),
            servers=parts.servers.seen(),
            capacity=self._capacity,
            conversions=parts.conversions.seen(),
            artifacts=parts.store.artifacts(),
            demand=parts.gateway.demand(),
            routes=parts.gateway.routes,
            routes_acknowledged=parts.gateway.acknowledged(),
            settings=self._settings,
        )

    def act(self, actions: Sequence[Action]) -> None:
        """Hand each order to the part that it is for. One that fails keeps none of the others from being carried out.

        Raises:
            OSError: the first failure.
        """
        failed: OSError | None = None
        for action in actions:
            try:
                self._act(action)
            except OSError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _act(self, action: Action) -> None:
        match action:
            case WriteStatus():
                self._write_status(action)
            case SetRoutes():
                self.parts.gateway.set_routes(action.routes)
            case ResizePool():
                self.parts.servers.resize(action)
            case LoadReplica():
                namespace = action.address.namespace
                self.parts.servers.load(action, self.parts.store.artifact(namespace, action.digest))
            case UnloadReplica():
                self.parts.servers.unload(action)
            case StartConversion():
                self.parts.conversions.start(action)
            case ForgetConversion():
                self.parts.conversions.forget(action.id)
            case CollectArtifact():
                self.parts.store.collect(action.namespace, action.digest)

    def _write_status(self, action: WriteStatus) -> None:
        before = self.parts.objects.write_status(action.address, action.uid, action.status)
        for sentence in announcements(before, action.status):
            self._around.tell(str(action.address), sentence)
        # What may happen only once a status is written should not wait for the next second.
        self._around.changed()
