"""The Kubernetes world: what the step sees of a cluster, and what becomes of its orders."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

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
from forebay_operator.domain.snapshot import Pool, Server, ServerPhase, Settings, Snapshot
from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.kubernetes.addresses import Addresses
from forebay_operator.worlds.kubernetes.artifacts import Artifacts
from forebay_operator.worlds.kubernetes.budgets import Budgets
from forebay_operator.worlds.kubernetes.capacity import CapacityView
from forebay_operator.worlds.kubernetes.conversions import Conversions
from forebay_operator.worlds.kubernetes.gateways import Gateways
from forebay_operator.worlds.kubernetes.models import Models
from forebay_operator.worlds.kubernetes.pools import Pools
from forebay_operator.worlds.kubernetes.routes import RouteHistory
from forebay_operator.worlds.kubernetes.secrets import Secrets
from forebay_operator.worlds.kubernetes.servers import Servers
from forebay_operator.worlds.kubernetes.statuses import Statuses

_STUCK_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the world consists of."""

    models: Models
    servers: Servers
    pools: Pools
    budgets: Budgets
    conversions: Conversions
    gateways: Gateways
    capacity: CapacityView
    routes: RouteHistory
    statuses: Statuses
    addresses: Addresses
    secrets: Secrets
    artifacts: Artifacts


class KubernetesWorld:
    """A cluster as a world."""

    def __init__(self, parts: Parts, clock: Clock, settings: Settings, may_act: Callable[[], bool]) -> None:
        """`may_act`: whether this operator leads."""
        self._parts = parts
        self._may_act = may_act
        self._clock = clock
        self._settings = settings
        self._servers: tuple[Server, ...] = ()

    def observe(self) -> Snapshot:
        """The cluster as it is known now."""
        parts = self._parts
        deployments = parts.models.deployments()
        parts.routes.follow(parts.models.all())
        parts.gateways.forget_all_but(parts.routes.addresses)
        parts.pools.adopt()
        self._servers = tuple(
            sorted([*parts.servers.seen(), *parts.pools.unmade()], key=lambda server: (server.pool.namespace, server.name))
        )
        return Snapshot(
            now=self._clock.now(),
            deployments=deployments,
            servers=self._servers,
            capacity=parts.capacity.seen(),
            conversions=parts.conversions.seen(),
            artifacts=parts.artifacts.seen(),
            demand=parts.gateways.demand(),
            routes=parts.routes.table(),
            routes_acknowledged=parts.routes.acknowledged(parts.gateways.acknowledged(), parts.gateways.refused()),
            settings=self._settings,
        )

    def act(self, actions: Sequence[Action]) -> None:
        """Hand each order to the part that it is for, then have the API server be as all of them want it."""
        if not self._may_act():
            return
        lost = Counter(server.pool for server in self._servers if server.phase is ServerPhase.LOST)
        for action in actions:
            self._act(action, lost)
        self._keep()

    def go_on(self) -> None:
        """Begin writes that the last step asked for, and that there was no room for."""
        if self._may_act():
            self._parts.statuses.keep()
            self._parts.addresses.keep()

    def _act(self, action: Action, lost: Counter[Pool]) -> None:
        parts = self._parts
        match action:
            case WriteStatus():
                parts.statuses.write(action)
            case SetRoutes():
                parts.routes.asked(action.routes)
            case ResizePool():
                parts.pools.resize(action, lost[action.pool])
            case LoadReplica():
                parts.servers.load(action, parts.artifacts.uri(action.address.namespace, action.digest))
            case UnloadReplica():
                parts.servers.unload(action)
            case StartConversion():
                parts.conversions.start(action)
            case ForgetConversion():
                parts.conversions.forget(action.id)
            case CollectArtifact():
                parts.artifacts.collect(action.namespace, action.digest)

    def _keep(self) -> None:
        parts = self._parts
        parts.pools.keep()
        parts.budgets.keep(parts.pools.pools())
        parts.conversions.keep()
        parts.secrets.keep(parts.pools.namespaces(), parts.conversions.namespaces(), self._stuck(), self._clock.now())
        # Before Services, of which there may be thousands to make: people wait for what is said.
        parts.statuses.keep()
        parts.addresses.keep()

    def _stuck(self) -> set[str]:
        """Namespaces where a server should have started by now."""
        before = self._clock.now() - _STUCK_S
        return {
            server.pool.namespace
            for server in self._servers
            if server.phase is ServerPhase.STARTING and server.started_at < before
        }
