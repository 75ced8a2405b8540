"""The control step: a snapshot and a memory in, actions, a memory and statuses out. Pure; a world observes and acts."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from forebay_operator.domain import (
    collection,
    conversions,
    failures,
    orders,
    outcome,
    placement,
    pools,
    routes,
    statuses,
)
from forebay_operator.domain.actions import Action, SetRoutes, WriteStatus
from forebay_operator.domain.assessment import Assessment
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.failures import Failures
from forebay_operator.domain.fleet import Fleet, Order, Replica, ReplicaKey, VersionKey, is_overdue, muster
from forebay_operator.domain.memory import Cache, Memory
from forebay_operator.domain.model_memory import ModelMemory
from forebay_operator.domain.orders import OrderBook
from forebay_operator.domain.outcome import Outcome
from forebay_operator.domain.placement import Placed, Placement
from forebay_operator.domain.pools import Sizing
from forebay_operator.domain.rest import Settled, rest_of
from forebay_operator.domain.snapshot import ConversionId, GatewayDemand, Snapshot
from forebay_operator.domain.status import DeploymentStatus
from forebay_operator.domain.survey import Survey
from forebay_schema.addresses import ModelAddress

_COLLECTS_EVERY_S = 10.0
"""Where nothing changes, artifacts are looked through this often."""


@dataclass(frozen=True, slots=True)
class StepResult:
    actions: tuple[Action, ...]
    memory: Memory
    statuses: Mapping[ModelAddress, DeploymentStatus]
    """Of every ModelDeployment; those that changed are among the actions, too."""


def step(snapshot: Snapshot, memory: Memory) -> StepResult:
    """Decide what to do now."""
    # 1. What is there, and what was ordered and does not show yet.
    standing = orders.settle(memory.orders, snapshot.servers, snapshot.now)
    fleet = _muster(snapshot, memory, standing)
    failed = _note_failures(snapshot, memory, fleet)
    # 2. What each model wants; those at rest want nothing new.
    survey = Survey(snapshot, memory, fleet, failed)
    looks = [survey.look(deployment) for deployment in snapshot.deployments]
    busy = [each for each in looks if isinstance(each, Assessment)]
    resting = [each for each in looks if isinstance(each, Settled)]
    # 3. Where it goes, and how many servers that takes.
    plan, sizing = _plan(snapshot, memory, fleet, busy, resting)
    # 4. What that means for each model: loads and unloads, routes, statuses.
    acknowledged = routes.acknowledged(snapshot.routes_acknowledged)
    outcomes = [outcome.conclude(each, plan, fleet, acknowledged, snapshot.now) for each in busy]
    book = OrderBook(snapshot.now, standing, memory.last_sequence)
    said = [statuses.say(each, snapshot.now) for each in outcomes]
    kept = _keep(snapshot, memory, survey, resting, list(zip(outcomes, said, strict=True)))
    orders.give(book, outcomes, fleet, kept.models, acknowledged)
    # 5. What nobody names any more.
    collected = _collect(snapshot, memory, kept, is_changed=bool(busy))
    return StepResult(
        actions=(
            *_start_conversions(busy),
            *conversions.forget(snapshot.conversions, _awaited(busy, resting)),
            *sizing.actions,
            *_set_routes(snapshot, outcomes, resting),
            *book.actions,
            *_writes(outcomes, said),
            *collected.actions,
        ),
        memory=Memory(
            at=snapshot.now,
            models=kept.models,
            orders=book.orders,
            last_sequence=book.last_sequence,
            failures=failed,
            pools=sizing.memory,
            unnamed_since=collected.unnamed_since,
            collected_at=collected.at,
            cache=Cache(
                settled=kept.settled,
                statuses=kept.written,
                servers=fleet.by_server,
                classes=survey.classes,
                sites=survey.sites,
                settings=snapshot.settings,
            ),
        ),
        statuses=kept.written,
    )


def _muster(snapshot: Snapshot, memory: Memory, standing: Mapping[ReplicaKey, Order]) -> Fleet:
    timeout, now = snapshot.settings.server_start_timeout_s, snapshot.now
    return muster(
        snapshot.servers, standing, memory.cache.servers, is_given_up=lambda server: is_overdue(server, timeout, now)
    )


def _note_failures(snapshot: Snapshot, memory: Memory, fleet: Fleet) -> Failures:
    uids: dict[ModelAddress, str] = {}

    def is_same(address: ModelAddress) -> bool:
        if not uids:
            uids.update((each.address, each.uid) for each in snapshot.deployments)
        known = memory.models.get(address)
        return known is not None and uids.get(address) == known.uid

    return failures.note(memory.failures, fleet, snapshot.now, is_first_look=memory.at is None, is_same=is_same)


def _plan(
    snapshot: Snapshot, memory: Memory, fleet: Fleet, busy: Sequence[Assessment], resting: Sequence[Settled]
) -> tuple[Placement, Sizing]:
    retained = {key for each in resting for key in each.rest.keys}
    retained.update(replica.key for each in busy for replica in each.rollout.retained)
    left = pools.devices_left(snapshot.capacity, snapshot.servers)
    plan = placement.place(
        [claim for each in busy for claim in each.claims],
        fleet,
        retained=retained,
        devices_left=left,
        footprint=_footprint(busy, resting),
    )
    sizing = pools.size(
        fleet,
        plan,
        left,
        _sites(busy, resting),
        settings=snapshot.settings,
        memory=memory.pools,
        now=snapshot.now,
    )
    return plan, sizing


def _footprint(busy: Iterable[Assessment], resting: Iterable[Settled]) -> Callable[[Replica], int]:
    """Device memory of a replica: as measured, else what its revision needs, else all there is: nothing is known of it."""
    needs: dict[VersionKey, int] = {}
    for each in busy:
        needs.update(each.needs())
    for settled in resting:
        if settled.rest.needs:
            needs.update(settled.rest.needs)

    def footprint(replica: Replica) -> int:
        measured = replica.footprint_bytes
        if measured is not None:
            return measured
        return needs.get((replica.address, replica.version), replica.server.pool.device.memory_bytes)

    return footprint


def _sites(busy: Iterable[Assessment], resting: Iterable[Settled]) -> list[pools.Site]:
    """The sites of the models that may need a server, each once."""
    sights = [each.sight for each in busy if not each.sight.deployment.deleting]
    found = {id(each.site): each.site for each in sights if not each.deployment.spec.stopped}
    found.update({id(each.rest.site): each.rest.site for each in resting if each.rest.site is not None})
    return list(found.values())


def _start_conversions(busy: Iterable[Assessment]) -> list[Action]:
    """What models wait for is converted once, however many wait for it."""
    starts = [each.preparation.start for each in busy if not each.sight.deployment.deleting]
    return list({start.id: start for start in starts if start is not None}.values())


def _awaited(busy: Iterable[Assessment], resting: Iterable[Settled]) -> set[ConversionId]:
    awaited = {
        each.sight.identity.conversion for each in busy if not each.revisions.durable and not each.sight.deployment.deleting
    }
    awaited.update(each.rest.awaited for each in resting if each.rest.awaited is not None)
    return awaited


def _set_routes(snapshot: Snapshot, outcomes: Iterable[Outcome], resting: Iterable[Settled]) -> list[SetRoutes]:
    found = [each.route for each in outcomes if not each.assessment.sight.deployment.deleting]
    found += [each.rest.outcome.route for each in resting]
    table = routes.table_of(found)
    return [] if table == snapshot.routes else [SetRoutes(routes=table)]


def _writes(outcomes: Iterable[Outcome], said: Iterable[statuses.Said]) -> list[WriteStatus]:
    deployments = [each.assessment.sight.deployment for each in outcomes]
    return [
        WriteStatus(address=deployment.address, uid=deployment.uid, status=now.status)
        for deployment, now in zip(deployments, said, strict=True)
        if now.status != deployment.status
    ]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is remembered and said of every model, by address."""

    models: dict[ModelAddress, ModelMemory]
    settled: dict[ModelAddress, Settled]
    written: dict[ModelAddress, DeploymentStatus]

    @classmethod
    def copy_of(cls, memory: Memory, present: Collection[Deployment]) -> "_Kept":
        """That of the step before, without the models that are gone."""
        kept = cls(dict(memory.models), dict(memory.cache.settled), dict(memory.cache.statuses))
        if len(kept.models) == len(present) and all(each.address in kept.models for each in present):
            return kept
        addresses = {each.address for each in present}
        for address in [address for address in kept.models if address not in addresses]:
            del kept.models[address]
            kept.settled.pop(address, None)
            kept.written.pop(address, None)
        return kept

    def keep(self, settled: Settled) -> None:
        address = settled.rest.outcome.assessment.sight.deployment.address
        if self.settled.get(address) is not settled:
            self.settled[address] = settled
            self.models[address] = settled.memory

    def conclude(self, each: Outcome, said: statuses.Said, gateway: GatewayDemand | None) -> None:
        address = each.assessment.sight.deployment.address
        remembered = _remember(each, said)
        self.models[address] = remembered
        self.written[address] = said.status
        rest = rest_of(each, said.status, gateway)
        if rest is not None:
            self.settled[address] = Settled(rest, remembered)
        else:
            self.settled.pop(address, None)


def _keep(
    snapshot: Snapshot,
    memory: Memory,
    survey: Survey,
    resting: Iterable[Settled],
    concluded: Iterable[tuple[Outcome, statuses.Said]],
) -> _Kept:
    kept = _Kept.copy_of(memory, snapshot.deployments)
    for settled in resting:
        kept.keep(settled)
    for each, said in concluded:
        kept.conclude(each, said, survey.gateway(each.assessment.sight.deployment.address))
    return kept


def _remember(each: Outcome, said: statuses.Said) -> ModelMemory:
    sight, target = each.assessment.sight, each.target
    reserved = target.swapped[0].server.name if target.swapped else sight.before.reserved
    return ModelMemory(
        uid=sight.before.uid,
        said=said.status,
        figures_at=said.figures_at,
        identity=sight.identity,
        scaling=each.assessment.scaling,
        load=each.assessment.load,
        starting=_starting(target, each.assessment.scaling.wanted),
        reserved=reserved if reserved in (*target.planned, *target.added) else "",
        fading=frozenset(replica.key for replica in each.leaving if replica.is_coming_or_here),
        trailing_since=each.trailing_since,
    )


def _starting(target: Placed, wanted: int) -> int:
    """Replicas on their way to what is wanted; what takes over from one on an outdated server is none of them."""
    ready = sum(replica.is_ready for replica in target.kept)
    return min(len(target.added) + len(target.planned) + len(target.kept) - ready, max(0, wanted - ready))


def _collect(snapshot: Snapshot, memory: Memory, kept: _Kept, *, is_changed: bool) -> collection.Collected:
    last = memory.collected_at
    if not is_changed and last is not None and snapshot.now - last < _COLLECTS_EVERY_S:
        return collection.Collected((), memory.unnamed_since, last)
    named = collection.named_by_world(snapshot.servers, snapshot.conversions)
    for settled in kept.settled.values():
        named.update(settled.rest.artifacts)
    for deployment in snapshot.deployments:
        if deployment.address not in kept.settled:
            namespace = deployment.address.namespace
            named.update(collection.named_by_status(namespace, kept.written[deployment.address]))
            named.update(collection.named_by_status(namespace, deployment.status))
    return collection.collect(
        snapshot.artifacts,
        named,
        snapshot.conversions,
        memory.unnamed_since,
        grace_s=snapshot.settings.artifact_grace_s,
        now=snapshot.now,
    )
