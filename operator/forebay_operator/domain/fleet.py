"""Who holds what: the replicas on the servers that are up, seen and ordered ones together, by model."""

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from forebay_operator.domain.snapshot import Holding, HoldingPhase, Server, ServerPhase
from forebay_schema.addresses import ModelAddress


class ReplicaKey(NamedTuple):
    """A version of a model on a server. Servers' names are unique for ever, so no namespace is needed."""

    server: str
    model: str
    version: int


VersionKey = tuple[ModelAddress, int]
"""A version of a model."""


class OrderKind(enum.Enum):
    LOAD = "load"
    UNLOAD = "unload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A load or unload that was ordered, and that the server's page does not show yet."""

    key: ReplicaKey
    address: ModelAddress
    kind: OrderKind
    sequence: int
    at: float
    """When it was first ordered."""
    blind: bool = False
    """An unload of something that the server's page has not shown: its load may still be on its way."""
    until: float = 0.0
    """A load is given again until then even if it shows: it takes back an unload that may arrive later."""
    overtaken: bool = False
    """Another order for the same model was given to the server later: one that saw that first ignores this one's sequence."""


class ReplicaStage(enum.Enum):
    ORDERED = "ordered"
    """A load was ordered and the server's page does not show it yet."""
    LOADING = "loading"
    READY = "ready"
    LEAVING = "leaving"
    """It was told to go, and the page does not show it: it may be gone already, and can be called back by another load."""
    UNLOADING = "unloading"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, eq=False)
class Replica:
    """One version of a model on one server that is up."""

    key: ReplicaKey
    server: Server
    address: ModelAddress
    version: int
    stage: ReplicaStage
    holding: Holding | None = None
    """None: only ordered so far."""

    @classmethod
    def of(
        cls, server: Server, address: ModelAddress, version: int, stage: ReplicaStage, holding: Holding | None = None
    ) -> "Replica":
        return cls(ReplicaKey(server.name, address.name, version), server, address, version, stage, holding)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be sent to it: ready, on a server that is ready and whose endpoint is known."""
        server = self.server
        return self.stage is ReplicaStage.READY and server.phase is ServerPhase.READY and server.endpoint is not None

    @property
    def shows_ready(self) -> bool:
        """Whether it was ready when the server's page was read, whatever was ordered since."""
        return (
            self.holding is not None and self.holding.phase is HoldingPhase.READY and self.stage is not ReplicaStage.UNLOADING
        )

    @property
    def is_coming_or_here(self) -> bool:
        return self.stage in _PRESENT

    @property
    def footprint_bytes(self) -> int | None:
        return None if self.holding is None else self.holding.footprint_bytes


_PRESENT = frozenset({ReplicaStage.ORDERED, ReplicaStage.LOADING, ReplicaStage.READY, ReplicaStage.LEAVING})
_STAGES = {
    HoldingPhase.LOADING: ReplicaStage.LOADING,
    HoldingPhase.READY: ReplicaStage.READY,
    HoldingPhase.UNLOADING: ReplicaStage.UNLOADING,
    HoldingPhase.FAILED: ReplicaStage.FAILED,
}

ServerReplicas = tuple[Server, tuple[Replica, ...]]
"""A server as it was seen, and what was found on it: reused while the server is seen unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The servers that can hold replicas, and every replica on them.

    Servers that drain or are lost are not up: what they hold counts as gone.
    """

    servers: Mapping[str, Server]
    replicas: Mapping[ModelAddress, tuple[Replica, ...]]
    by_server: Mapping[str, ServerReplicas] = field(default_factory=dict[str, ServerReplicas])
    given_up: tuple[Server, ...] = ()
    """Servers that take too long to start, or start and are outdated already: no longer waited for."""

    def of(self, address: ModelAddress) -> tuple[Replica, ...]:
        return self.replicas.get(address, ())

    def on(self, server: str) -> tuple[Replica, ...]:
        found = self.by_server.get(server)
        return found[1] if found else ()


def is_up(server: Server) -> bool:
    return server.phase is ServerPhase.READY or server.phase is ServerPhase.STARTING


def takes_orders(server: Server) -> bool:
    """Whether a load can be ordered there: it is ready, and what it holds is known."""
    return server.phase is ServerPhase.READY and server.observed_at is not None


def is_overdue(server: Server, start_timeout_s: float, now: float) -> bool:
    """Whether a server should have become ready long ago, or is outdated before: it is given up, another takes its place."""
    is_late = server.outdated or now - server.started_at > start_timeout_s
    return server.phase is ServerPhase.STARTING and is_late


def muster(
    servers: Iterable[Server],
    orders: Mapping[ReplicaKey, Order],
    known: Mapping[str, ServerReplicas] | None = None,
    *,
    is_given_up: Callable[[Server], bool] = lambda _: False,
) -> Fleet:
    """Group what servers hold, together with what was ordered and does not show yet. `known`: an earlier `by_server`."""
    given_up: list[Server] = []
    by_server: dict[str, ServerReplicas] = {}
    by_model: dict[ModelAddress, list[Replica]] = {}
    ordered = _by_server(orders)
    for server in servers:
        if not is_up(server):
            continue
        if is_given_up(server):
            given_up.append(server)
            continue
        found = _replicas(server, ordered.get(server.name), known.get(server.name) if known else None)
        by_server[server.name] = found
        for replica in found[1]:
            by_model.setdefault(replica.address, []).append(replica)
    return Fleet(
        servers={name: found[0] for name, found in by_server.items()},
        replicas={address: tuple(found) for address, found in by_model.items()},
        by_server=by_server,
        given_up=tuple(given_up),
    )


def _replicas(server: Server, orders: Mapping[ReplicaKey, Order] | None, known: ServerReplicas | None) -> ServerReplicas:
    if not orders:
        if known is not None and known[0] is server:
            return known
        return server, tuple(_seen(server, holding, None) for holding in server.holdings)
    seen = [_seen(server, holding, orders) for holding in server.holdings]
    shown = {replica.key for replica in seen}
    unseen = [_unseen(server, order) for key, order in orders.items() if key not in shown]
    return server, (*seen, *unseen)


def _seen(server: Server, holding: Holding, orders: Mapping[ReplicaKey, Order] | None) -> Replica:
    stage = _STAGES[holding.phase]
    order = orders.get(ReplicaKey(server.name, holding.model, holding.version)) if orders else None
    if order is not None:
        stage = _under_order(stage, order, server)
    return Replica.of(server, ModelAddress(server.pool.namespace, holding.model), holding.version, stage, holding)


def _under_order(shown: ReplicaStage, order: Order, server: Server) -> ReplicaStage:
    """The stage of a replica for which an order stands. A page that is older than the order may be out of date."""
    if order.kind is OrderKind.UNLOAD:
        return ReplicaStage.LEAVING if shown in _PRESENT else shown
    is_older = server.observed_at is None or server.observed_at <= order.at
    return ReplicaStage.ORDERED if is_older or shown is ReplicaStage.FAILED else shown


def _unseen(server: Server, order: Order) -> Replica:
    # An unload that was ordered before its load showed: the load may still be on its way, so its room is not free.
    stage = ReplicaStage.ORDERED if order.kind is OrderKind.LOAD else ReplicaStage.UNLOADING
    return Replica.of(server, order.address, order.key.version, stage)


def _by_server(orders: Mapping[ReplicaKey, Order]) -> dict[str, dict[ReplicaKey, Order]]:
    grouped: dict[str, dict[ReplicaKey, Order]] = {}
    for key, order in orders.items():
        grouped.setdefault(key.server, {})[key] = order
    return grouped
