"""Loads and unloads: given again until the server's page shows them, under one sequence that never falls.

An unload that is not wanted any more is taken back by a load with a higher sequence. Until the page is read again, nobody
knows which of the two the server has seen.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.fleet import Fleet, Order, OrderKind, Replica, ReplicaKey, ReplicaStage, takes_orders
from forebay_operator.domain.outcome import Outcome
from forebay_operator.domain.revisions import loaded_serving_of
from forebay_operator.domain.routes import Acknowledged
from forebay_operator.domain.snapshot import Holding, HoldingPhase, Server
from forebay_operator.domain.status import RevisionRecord
from forebay_schema.addresses import ModelAddress

_LATE_S = 10.0
"""An order that was taken back may arrive for this long."""
_CANCEL_SETTLES_S = 2.0
"""How long after cancelling a load that was never seen its room stays taken: it may still be on its way."""


@dataclass(slots=True)
class OrderBook:
    """The orders that stand after this step, and the actions that give them. Filled during one step, then read."""

    now: float
    before: Mapping[ReplicaKey, Order]
    last_sequence: int
    orders: dict[ReplicaKey, Order] = field(default_factory=dict[ReplicaKey, Order])
    actions: list[LoadReplica | UnloadReplica] = field(default_factory=list[LoadReplica | UnloadReplica])

    def load(self, server: Server, address: ModelAddress, record: RevisionRecord) -> None:
        """Have a ready server hold a revision whose artifact is known."""
        if not takes_orders(server) or record.artifact is None:
            return
        order = self._order(ReplicaKey(server.name, address.name, record.number), address, OrderKind.LOAD)
        self.actions.append(
            LoadReplica(
                server=server.name,
                address=address,
                version=record.number,
                digest=record.artifact.digest,
                serving=loaded_serving_of(record),
                memory_limit_bytes=server.pool.device.memory_bytes,
                sequence=order.sequence,
            )
        )

    def unload(self, replica: Replica, acknowledged: Acknowledged) -> None:
        """Have a server let go, unless requests may still be sent there, or it is letting go already."""
        if not takes_orders(replica.server) or _may_be_used(replica, acknowledged):
            return
        if replica.stage is ReplicaStage.UNLOADING and replica.key not in self.before:
            return
        order = self._order(replica.key, replica.address, OrderKind.UNLOAD, blind=replica.holding is None)
        self.actions.append(
            UnloadReplica(
                server=replica.server.name, address=replica.address, version=replica.version, sequence=order.sequence
            )
        )

    def _order(self, key: ReplicaKey, address: ModelAddress, kind: OrderKind, *, blind: bool = False) -> Order:
        order = self.before.get(key)
        if order is None or order.kind is not kind:
            until = self.now + _LATE_S if order is not None and kind is OrderKind.LOAD else 0.0
            order = Order(
                key=key, address=address, kind=kind, sequence=self._next_sequence(), at=self.now, blind=blind, until=until
            )
        elif order.overtaken:
            order = replace(order, sequence=self._next_sequence(), overtaken=False)
        self.orders[key] = order
        return order

    def _next_sequence(self) -> int:
        self.last_sequence = max(self.last_sequence + 1, int(self.now * 1000))
        return self.last_sequence

    def mark_overtaken(self) -> None:
        """Have orders that are followed by another one for the same model and server take a new sequence when given again."""
        newest: dict[tuple[str, str], int] = {}
        for key, order in self.orders.items():
            newest[key.server, key.model] = max(order.sequence, newest.get((key.server, key.model), 0))
        for key, order in self.orders.items():
            if order.sequence < newest[key.server, key.model] and not order.overtaken:
                self.orders[key] = replace(order, overtaken=True)


def give(
    book: OrderBook,
    outcomes: Iterable[Outcome],
    fleet: Fleet,
    known: Collection[ModelAddress],
    acknowledged: Acknowledged,
) -> None:
    """All loads and unloads of a step. `known`: the models there are; what servers hold of others goes."""
    for each in outcomes:
        _give_loads(book, each, fleet)
        for replica in each.leaving:
            book.unload(replica, acknowledged)
    for address, replicas in fleet.replicas.items():
        if address not in known:
            for replica in replicas:
                book.unload(replica, acknowledged)
    book.mark_overtaken()


def _give_loads(book: OrderBook, each: Outcome, fleet: Fleet) -> None:
    known = each.assessment.revisions
    address = each.assessment.sight.deployment.address
    records = {record.number: record for record in known.records if record is not known.target or known.durable}
    for replica in each.staying:
        if replica.key in book.before and replica.version in records:
            book.load(replica.server, address, records[replica.version])
    for placed, record in ((each.target, known.target), (each.older, known.older)):
        for name in placed.added if record is not None else ():
            if record is not None and record.number in records:
                book.load(fleet.servers[name], address, record)


def settle(orders: Mapping[ReplicaKey, Order], servers: Iterable[Server], now: float) -> dict[ReplicaKey, Order]:
    """The orders that do not show yet, on servers that can still show them."""
    if not orders:
        return {}
    by_name = {server.name: server for server in servers}
    return {key: order for key, order in orders.items() if _stands(order, by_name.get(key.server), now)}


def _stands(order: Order, server: Server | None, now: float) -> bool:
    if server is None or not takes_orders(server):
        return False
    shown = next((each for each in server.holdings if (each.model, each.version) == order.key[1:]), None)
    if order.kind is OrderKind.LOAD:
        return shown is None or now < order.until or _failed_before(shown, order)
    if shown is not None:
        return shown.phase is not HoldingPhase.UNLOADING
    return order.blind and server.observed_at is not None and server.observed_at < order.at + _CANCEL_SETTLES_S


def _failed_before(shown: Holding, order: Order) -> bool:
    """Whether a failure on the page is older than the order, so that the order is still on its way."""
    return shown.phase is HoldingPhase.FAILED and shown.failed_at is not None and shown.failed_at <= order.at


def _may_be_used(replica: Replica, acknowledged: Acknowledged) -> bool:
    named = acknowledged(replica.address)
    if named is None:
        # Where requests go is not known. A replica that is not ready answers none; a ready one may be in use.
        return replica.stage is ReplicaStage.READY
    return (replica.version, replica.server.endpoint) in named
