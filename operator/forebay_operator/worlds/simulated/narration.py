"""A readable story of what happened in a simulated world: what was seen, done and said, one line each."""

from collections.abc import Iterator
from dataclasses import fields

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
from forebay_operator.domain.routes import Route
from forebay_operator.domain.snapshot import Pool, Snapshot
from forebay_operator.domain.status import DeploymentStatus
from forebay_operator.worlds.simulated.faults import Fault
from forebay_operator.worlds.simulated.moment import Moment
from forebay_operator.worlds.simulated.story import Apply, Edit

GIB = 1 << 30
SHORT = 8
"""Characters of a digest that people are shown."""


def describe_edit(edit: Edit) -> str:
    if not isinstance(edit, Apply):
        return f"user    deletes {edit.address}"
    spec = edit.spec
    replicas = f"{spec.replicas} replicas"
    if spec.autoscaling is not None:
        replicas = f"{spec.autoscaling.min_replicas} to {spec.autoscaling.max_replicas} replicas"
    stopped = ", stopped" if spec.stopped else ""
    return f"user    applies {edit.address}: {spec.source.uri}, {replicas}, device {spec.placement.device}{stopped}"


def describe_fault(fault: Fault) -> str:
    values = ", ".join(f"{field.name} {getattr(fault, field.name)}" for field in fields(fault) if field.name != "at")
    return f"fault   {type(fault).__name__} {values}".rstrip()


def describe_step(moment: Moment, before: Snapshot | None) -> Iterator[str]:
    """What is new in a snapshot, then what the step ordered and why."""
    seen, known = _sights(moment.snapshot), _sights(before) if before else {}
    for name in [*seen, *(name for name in known if name not in seen)]:
        if seen.get(name) != known.get(name):
            yield f"seen    {name}: {seen.get(name, 'gone')}"
    for action in moment.actions:
        for line in _describe_action(action, moment):
            yield f"order   {line}"


def _sights(snapshot: Snapshot) -> dict[str, str]:
    """By name, all that a snapshot shows, apart from figures that change all the time."""
    sights = {f"server {server.name}": f"{server.phase.value} {server.message}".rstrip() for server in snapshot.servers}
    for server in snapshot.servers:
        for holding in server.holdings:
            state = f"{holding.phase.value} {holding.reason}".rstrip()
            sights[f"{server.name} with {holding.model} version {holding.version}"] = state
    for conversion in snapshot.conversions:
        cause = f": {conversion.failure.cause}" if conversion.failure else ""
        name = f"conversion {conversion.id.namespace}/{conversion.id.digest[:SHORT]}"
        sights[name] = f"attempt {conversion.attempt} {conversion.phase.value}{cause}"
    for address, demand in (snapshot.demand or {}).items():
        sights[f"hold of {address}"] = "some requests" if demand.held else "empty"
    sights["demand"] = "unknown" if snapshot.demand is None else "known"
    sights["acknowledged"] = "unknown" if snapshot.routes_acknowledged is None else _routes(snapshot.routes_acknowledged)
    return sights


def _describe_action(action: Action, moment: Moment) -> Iterator[str]:
    match action:
        case StartConversion():
            yield f"convert {action.source.uri} as {action.id.namespace}/{action.id.digest[:SHORT]}, attempt {action.attempt}"
        case ForgetConversion():
            yield f"forget conversion {action.id.namespace}/{action.id.digest[:SHORT]}"
        case ResizePool():
            victims = ", ".join(action.victims) or "none"
            yield f"have {action.servers} servers of {_pool(action.pool)}, ending {victims}"
        case LoadReplica():
            limit = f"{action.memory_limit_bytes / GIB:.1f} GiB"
            yield f"load {action.address} version {action.version} on {action.server} within {limit} ({action.sequence})"
        case UnloadReplica():
            yield f"unload {action.address} version {action.version} from {action.server} ({action.sequence})"
        case SetRoutes():
            yield f"route {_routes(action.routes)}"
        case CollectArtifact():
            yield f"delete artifact {action.namespace}/{action.digest[:SHORT]}"
        case WriteStatus():
            yield from _describe_status(action, moment)


def _pool(pool: Pool) -> str:
    exclusive = f"/{pool.exclusive}" if pool.exclusive else ""
    return f"{pool.namespace}/{pool.device.name}{exclusive}"


def _describe_status(action: WriteStatus, moment: Moment) -> Iterator[str]:
    deployment = moment.deployments.get(action.address)
    before = deployment.status if deployment else None
    if before is None or before.summary != action.status.summary:
        yield f"say of {action.address}: {action.status.summary}"
    if action.status.scaling and _decisions(action.status) > _decisions(before):
        decision = action.status.scaling.decisions[-1]
        yield f"scale {action.address} from {decision.from_replicas} to {decision.to_replicas}: {decision.reason}"


def _decisions(status: DeploymentStatus | None) -> float:
    """When the newest decision of a status was taken; 0: there is none."""
    decisions = status.scaling.decisions if status and status.scaling else ()
    return decisions[-1].time if decisions else 0.0


def _routes(routes: tuple[Route, ...]) -> str:
    return "; ".join(_route(route) for route in routes) or "nothing"


def _route(route: Route) -> str:
    versions = ", ".join(
        f"version {version.version} {version.weight} % at {[endpoint.http for endpoint in version.endpoints]}"
        for version in route.versions
    )
    return f"{route.address} {route.state.value} {versions}".rstrip()
