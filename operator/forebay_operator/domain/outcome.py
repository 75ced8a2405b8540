"""One ModelDeployment after placement: what stays, what goes, what is loaded, and where its requests go."""

from collections.abc import Collection
from dataclasses import dataclass

from forebay_operator.domain import routes
from forebay_operator.domain.assessment import Assessment
from forebay_operator.domain.fleet import Fleet, Replica, ReplicaKey, ReplicaStage
from forebay_operator.domain.placement import Placed, Placement
from forebay_operator.domain.routes import Acknowledged, Route, RouteState
from forebay_operator.domain.snapshot import Server
from forebay_operator.domain.status import ConditionStatus, ConditionType

_GATEWAYS_FOLLOW_S = 10.0
"""How long a revision that is ready is not called so for gateways that do not follow."""
STOPPED_REASON = "The model is stopped: set spec.stopped to false to have it serve again."
_NOTHING = Placed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    assessment: Assessment
    target: Placed
    older: Placed
    staying: tuple[Replica, ...]
    leaving: tuple[Replica, ...]
    route: Route
    waiting_for: tuple[Server, ...] = ()
    """Servers that have to start, or to be freed, before the target can be loaded there."""
    given_up: tuple[Server, ...] = ()
    """Servers that could have taken it and did not get ready."""
    trailing_since: float | None = None
    """Since when gateways are known to send requests elsewhere than to the version that serves; None: they are not."""
    is_awaiting_gateways: bool = False
    """Whether all that keeps it from being ready are gateways that are about to follow."""

    @property
    def serving(self) -> int:
        """The version that requests go to; 0: they wait."""
        return self.route.versions[0].version if self.route.state is RouteState.ROUTED else 0

    @property
    def ready(self) -> tuple[Replica, ...]:
        """The replicas that requests go to."""
        serving = self.serving
        return tuple(each for each in self.staying if each.version == serving and each.is_ready)


def conclude(assessment: Assessment, placement: Placement, fleet: Fleet, acknowledged: Acknowledged, now: float) -> Outcome:
    """What the placement of all models means for one."""
    address = assessment.sight.deployment.address
    target = placement.placed.get((address, assessment.revisions.target.number), _NOTHING)
    older_record = assessment.revisions.older
    older = placement.placed.get((address, older_record.number), _NOTHING) if older_record else _NOTHING
    swapped = {replica.key for replica in target.swapped}
    retained = tuple(replica for replica in assessment.rollout.retained if replica.key not in swapped)
    staying = (*target.kept, *older.kept, *retained)
    keys = {replica.key for replica in staying}
    claimed = [(assessment.revisions.target.number, target), (older_record.number if older_record else 0, older)]
    route = _route(assessment, staying)
    since = _trailing_since(assessment, route, acknowledged, now)
    return Outcome(
        assessment=assessment,
        target=target,
        older=older,
        staying=staying,
        leaving=_leaving(assessment, keys, placement.lingering | _tried_again(address.name, claimed)),
        route=route,
        waiting_for=tuple(fleet.servers[name] for name in sorted(set(target.planned)) if name),
        given_up=_late(fleet, assessment),
        trailing_since=since,
        is_awaiting_gateways=since is not None and now - since < _GATEWAYS_FOLLOW_S and not _was_ready(assessment),
    )


def _trailing_since(assessment: Assessment, route: Route, acknowledged: Acknowledged, now: float) -> float | None:
    followed = acknowledged(route.address) if route.state is RouteState.ROUTED else None
    if followed is None or {version for version, _ in followed} == {entry.version for entry in route.versions}:
        return None
    before = assessment.sight.before.trailing_since
    return now if before is None else before


def _was_ready(assessment: Assessment) -> bool:
    said = assessment.sight.said
    before = said.condition(ConditionType.READY) if said is not None else None
    return before is not None and before.status is ConditionStatus.TRUE


def _late(fleet: Fleet, assessment: Assessment) -> tuple[Server, ...]:
    return tuple(each for each in fleet.given_up if each.pool in assessment.sight.site.pools and not each.outdated)


def _tried_again(model: str, claimed: Collection[tuple[int, Placed]]) -> set[ReplicaKey]:
    """Failed replicas that need not go first where their load is ordered again."""
    return {ReplicaKey(server, model, version) for version, placed in claimed for server in (*placed.added, *placed.planned)}


def _leaving(
    assessment: Assessment, staying: Collection[ReplicaKey], lingering: Collection[ReplicaKey]
) -> tuple[Replica, ...]:
    return tuple(
        replica
        for replica in assessment.sight.replicas
        if replica.key not in staying and not (replica.stage is ReplicaStage.FAILED and replica.key in lingering)
    )


def _route(assessment: Assessment, staying: Collection[Replica]) -> Route:
    deployment = assessment.sight.deployment
    if deployment.spec.stopped:
        return routes.stopped(deployment.address, STOPPED_REASON)
    serving = assessment.rollout.serving
    endpoints = [
        replica.server.endpoint
        for replica in staying
        if replica.version == serving and replica.is_ready and replica.server.endpoint is not None
    ]
    return routes.routed(deployment.address, serving, endpoints) if endpoints else routes.held(deployment.address)
