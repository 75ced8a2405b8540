"""The control step: a snapshot and a memory in, actions, a memory and statuses out. Pure; a world observes and acts."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from forebay_operator.domain import assessment as assessing
from forebay_operator.domain import (
    collection,
    conversions,
    demand,
    failures,
    orders,
    outcome,
    placement,
    pools,
    routes,
    scaling,
    statuses,
)
from forebay_operator.domain.actions import Action, SetRoutes, WriteStatus
from forebay_operator.domain.assessment import Assessment, Sight
from forebay_operator.domain.demand import LoadMemory
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.devices import classes_of
from forebay_operator.domain.failures import LoadFailure
from forebay_operator.domain.fleet import Fleet, Replica, ReplicaKey, ReplicaStage, is_overdue, muster
from forebay_operator.domain.memory import Memory, ModelMemory
from forebay_operator.domain.orders import OrderBook
from forebay_operator.domain.outcome import Outcome
from forebay_operator.domain.revisions import identify, need_of
from forebay_operator.domain.routes import Endpoint
from forebay_operator.domain.scaling import Scaling
from forebay_operator.domain.snapshot import Conversion, ConversionId, GatewayDemand, Snapshot
from forebay_operator.domain.status import DeploymentStatus
from forebay_schema.addresses import ModelAddress

_NO_DEMAND = GatewayDemand()


@dataclass(frozen=True, slots=True)
class StepResult:
    actions: tuple[Action, ...]
    memory: Memory
    statuses: Mapping[ModelAddress, DeploymentStatus]
    """Of every ModelDeployment; those that changed are among the actions, too."""


def step(snapshot: Snapshot, memory: Memory) -> StepResult:
    """Decide what to do now."""
    # 1. what is there
    timeout = snapshot.settings.server_start_timeout_s
    standing = orders.settle(memory.orders, snapshot.servers)
    fleet = muster(snapshot.servers, standing, is_given_up=lambda each: is_overdue(each, timeout, snapshot.now))
    failed = failures.note(memory.failures, fleet, snapshot.now)
    # 2. what each model wants
    models = _Models(snapshot, memory, fleet, failed)
    assessments = [models.assess(deployment) for deployment in snapshot.deployments]
    # 3. where it goes
    left = pools.devices_left(snapshot.capacity, snapshot.servers)
    plan = placement.place(
        [claim for each in assessments for claim in each.claims],
        fleet,
        retained={replica.key for each in assessments for replica in each.rollout.retained},
        devices_left=left,
        footprint=_footprint(assessments),
    )
    sizing = pools.size(
        fleet,
        plan,
        left,
        _sites(assessments),
        settings=snapshot.settings,
        memory=memory.pools,
        now=snapshot.now,
    )
    # 4. what that means for each model
    outcomes = [outcome.conclude(each, plan) for each in assessments]
    book = OrderBook(snapshot.now, standing, memory.last_sequence)
    _give_orders(book, outcomes, fleet, snapshot)
    # 5. what is said
    said = [statuses.say(each, snapshot.now) for each in outcomes]
    writes = [_write(each, said_now.status) for each, said_now in zip(outcomes, said, strict=True)]
    collected = _collect(snapshot, memory, said)
    starts = {
        start.id: start for each in assessments if (start := each.preparation.start) and not each.sight.deployment.deleting
    }
    actions: list[Action] = [
        *starts.values(),
        *conversions.forget(snapshot.conversions, _awaited(assessments)),
        *sizing.actions,
        *_set_routes(outcomes, snapshot),
        *book.actions,
        *(write for write in writes if write is not None),
        *collected.actions,
    ]
    return StepResult(
        actions=tuple(actions),
        memory=Memory(
            models={
                each.assessment.sight.deployment.address: _remember(each, said_now)
                for each, said_now in zip(outcomes, said, strict=True)
            },
            at=snapshot.now,
            orders=book.orders,
            last_sequence=book.last_sequence,
            failures=failed,
            pools=sizing.memory,
            unnamed_since=collected.unnamed_since,
        ),
        statuses={
            each.assessment.sight.deployment.address: said_now.status for each, said_now in zip(outcomes, said, strict=True)
        },
    )


class _Models:
    """Looks at one ModelDeployment after the other."""

    def __init__(self, snapshot: Snapshot, memory: Memory, fleet: Fleet, failed: Mapping[ReplicaKey, LoadFailure]) -> None:
        self._snapshot = snapshot
        self._memory = memory
        self._fleet = fleet
        self._classes = classes_of(snapshot.capacity, snapshot.servers)
        self._conversions: Mapping[ConversionId, Conversion] = {each.id: each for each in snapshot.conversions}
        self._failed = failed

    def assess(self, deployment: Deployment) -> Assessment:
        sight = self._look(deployment)
        found, preparation = assessing.prepare(sight, lambda: self._routed_versions(deployment.address), self._snapshot.now)
        wish, load = self._scale(sight)
        return assessing.assess(sight, found, preparation, scaling=wish, load=load, now=self._snapshot.now)

    def _look(self, deployment: Deployment) -> Sight:
        address = deployment.address
        before = self._memory.models.get(address)
        if before is None or before.uid != deployment.uid:
            before = ModelMemory(uid=deployment.uid)
        identity = before.identity
        if identity is None or identity.spec is not deployment.spec:
            identity = identify(address.namespace, deployment.spec)
        servers = {server.name for server in self._fleet.servers.values() if server.pool.namespace == address.namespace}
        return Sight(
            deployment=deployment,
            before=before,
            identity=identity,
            site=pools.site_of(deployment, self._classes),
            replicas=self._fleet.of(address),
            conversion=self._conversions.get(identity.conversion),
            failures={
                key: failure for key, failure in self._failed.items() if key.model == address.name and key.server in servers
            }
            if self._failed
            else {},
        )

    def _scale(self, sight: Sight) -> tuple[Scaling, LoadMemory | None]:
        deployment, before, now = sight.deployment, sight.before, self._snapshot.now
        if deployment.deleting:
            return scaling.none_wanted(now, "It is being deleted."), None
        said = sight.said
        demands = self._snapshot.demand
        seen, load = demand.observe(
            before.load,
            demand.Signals(
                now=now,
                serving=said.revision if said else 0,
                replicas=sight.replicas,
                fading=before.fading,
                starting=before.starting if before.scaling else sum(not each.is_ready for each in sight.replicas),
                gateway=None if demands is None else demands.get(deployment.address, _NO_DEMAND),
                counted_since=None,
            ),
        )
        there = seen.replicas_ready + seen.replicas_starting
        present = max(there, said.scaling.wanted if said and said.scaling else 0)
        hold_seconds = self._snapshot.settings.hold_seconds
        return scaling.scale(deployment.spec, before.scaling, seen, present=present, hold_seconds=hold_seconds), load

    def _routed_versions(self, address: ModelAddress) -> list[int]:
        tables = (*self._snapshot.routes, *(self._snapshot.routes_acknowledged or ()))
        return [entry.version for route in tables if route.address == address for entry in route.versions]


def _footprint(assessments: Collection[Assessment]) -> Callable[[Replica], int]:
    """Device memory of a replica: as measured, else what its revision needs, else all there is: nothing is known of it."""
    needs: dict[tuple[ModelAddress, int], int] = {}
    for each in assessments:
        deployment = each.sight.deployment
        for record in each.revisions.records:
            need = need_of(record, deployment.spec.placement.memory_bytes)
            if need is not None:
                needs[deployment.address, record.number] = need.bytes

    def footprint(replica: Replica) -> int:
        measured = replica.footprint_bytes
        if measured is not None:
            return measured
        return needs.get((replica.address, replica.version), replica.server.pool.device.memory_bytes)

    return footprint


def _sites(assessments: Collection[Assessment]) -> list[pools.Site]:
    active = [each.sight for each in assessments if not each.sight.deployment.deleting]
    return [sight.site for sight in active if not sight.deployment.spec.stopped]


def _awaited(assessments: Collection[Assessment]) -> set[ConversionId]:
    return {
        each.sight.identity.conversion
        for each in assessments
        if not each.revisions.durable and not each.sight.deployment.deleting
    }


def _give_orders(book: OrderBook, outcomes: Collection[Outcome], fleet: Fleet, snapshot: Snapshot) -> None:
    table = snapshot.routes_acknowledged
    named = None if table is None else routes.named(table)

    def acknowledged(address: ModelAddress) -> frozenset[tuple[int, Endpoint]] | None:
        return None if named is None else named.get(address, frozenset())

    for each in outcomes:
        known = each.assessment.revisions
        address = each.assessment.sight.deployment.address
        for record, placed in ((known.target, each.target), (known.older, each.older)):
            if record is not None and (record is not known.target or known.durable):
                ordered = [replica.server for replica in placed.kept if _is_ordered(replica)]
                for server in (*ordered, *(fleet.servers[name] for name in placed.added)):
                    book.load(server, address, record)
        for replica in each.leaving:
            book.unload(replica, acknowledged)
    mine = {each.assessment.sight.deployment.address for each in outcomes}
    for address, replicas in fleet.replicas.items():
        if address not in mine:
            for replica in replicas:
                book.unload(replica, acknowledged)


def _is_ordered(replica: Replica) -> bool:
    return replica.stage is ReplicaStage.ORDERED


def _set_routes(outcomes: Collection[Outcome], snapshot: Snapshot) -> list[SetRoutes]:
    table = routes.table_of(each.route for each in outcomes if not each.assessment.sight.deployment.deleting)
    return [] if table == snapshot.routes else [SetRoutes(routes=table)]


def _write(each: Outcome, status: DeploymentStatus) -> WriteStatus | None:
    deployment = each.assessment.sight.deployment
    if status == deployment.status:
        return None
    return WriteStatus(address=deployment.address, uid=deployment.uid, status=status)


def _collect(snapshot: Snapshot, memory: Memory, said: Collection[statuses.Said]) -> collection.Collected:
    named = collection.named_by_world(snapshot.servers, snapshot.conversions)
    for deployment, said_now in zip(snapshot.deployments, said, strict=True):
        named.update(collection.named_by_status(deployment.address.namespace, said_now.status))
        named.update(collection.named_by_status(deployment.address.namespace, deployment.status))
    return collection.collect(
        snapshot.artifacts,
        named,
        snapshot.conversions,
        memory.unnamed_since,
        grace_s=snapshot.settings.artifact_grace_s,
        now=snapshot.now,
    )


def _remember(each: Outcome, said: statuses.Said) -> ModelMemory:
    sight = each.assessment.sight
    target = each.target
    reserved = target.swapped[0].server.name if target.swapped else sight.before.reserved
    return replace(
        sight.before,
        said=said.status,
        figures_at=said.figures_at,
        identity=sight.identity,
        scaling=each.assessment.scaling,
        load=each.assessment.load,
        starting=len(target.added) + len(target.planned) + sum(not replica.is_ready for replica in target.kept),
        reserved=reserved if reserved in (*target.planned, *target.added) else "",
        fading=frozenset(replica.key for replica in each.leaving if replica.is_coming_or_here),
    )
