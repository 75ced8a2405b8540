"""Why a model is as it is: what was asked, what was seen, what was decided, what is missing."""

from dataclasses import dataclass

from forebay_operator.domain.deployment import Deployment, DeploymentSpec
from forebay_operator.domain.revisions import identify
from forebay_operator.domain.routes import Route, RouteState
from forebay_operator.domain.snapshot import Conversion, ConversionPhase, Holding, Server, Snapshot
from forebay_operator.domain.status import Artifact, ConditionStatus, ConditionType, DeploymentStatus, FootprintSource
from forebay_operator.domain.wording import bytes_text, clause, counted, seconds_text
from forebay_operator.worlds.local.picture import holdings_of


@dataclass(frozen=True, slots=True)
class Chapter:
    """One link of the causal chain."""

    title: str
    lines: tuple[str, ...]


def explain(deployment: Deployment, snapshot: Snapshot) -> tuple[Chapter, ...]:
    """The causal chain of one ModelDeployment, from the wish to what still stands in its way."""
    seen = (*_conversion_seen(deployment, snapshot), *_servers_seen(deployment, snapshot), *_demand(deployment, snapshot))
    return (
        Chapter("Asked", tuple(_asked(deployment.spec))),
        Chapter("Seen", seen),
        Chapter("Decided", (*_decided(deployment.status), *_routes(deployment, snapshot))),
        Chapter("Missing", tuple(_missing(deployment))),
    )


def _asked(spec: DeploymentSpec) -> list[str]:
    uri = spec.source.uri if len(spec.source.uri) < 100 else f"{spec.source.uri[:60]}…"  # noqa: PLR2004 - one line
    source = f"serve {uri}" + (f" ({spec.source.format})" if spec.source.format else "")
    lines = ["be stopped: keep the object, serve nothing"] if spec.stopped else []
    lines += [source, _replicas_asked(spec), _device_asked(spec)]
    if spec.verification.min_accuracy is not None:
        lines.append(f"an accuracy of at least {spec.verification.min_accuracy}")
    return lines


def _replicas_asked(spec: DeploymentSpec) -> str:
    scaling = spec.autoscaling
    if scaling is None:
        return counted(spec.replicas, "replica")
    bounds = f"{scaling.min_replicas} to {scaling.max_replicas} replicas, {scaling.target_queue_depth:g} waiting requests each"
    idle = f", none after {seconds_text(scaling.idle_timeout_s)} without requests" if scaling.min_replicas == 0 else ""
    return f"{bounds}, fewer after {seconds_text(scaling.scale_down_delay_s)}{idle}"


def _device_asked(spec: DeploymentSpec) -> str:
    place = spec.placement
    memory = f", {bytes_text(place.memory_bytes)} of its memory" if place.memory_bytes else ""
    kind = {"auto": "any device", "gpu": "a GPU", "cpu": "the CPU"}.get(place.device, place.device)
    return f"on {place.gpu_class or kind}{memory}{', alone' if place.exclusive else ''}"


def _conversion_seen(deployment: Deployment, snapshot: Snapshot) -> list[str]:
    key = identify(deployment.address.namespace, deployment.spec).conversion
    found = next((conversion for conversion in snapshot.conversions if conversion.id == key), None)
    if found is not None:
        return [_conversion(found, snapshot.now)]
    artifact = deployment.status.artifact if deployment.status else None
    return [f"converted before: {_artifact(artifact)}"] if artifact else ["no conversion yet"]


def _conversion(conversion: Conversion, now: float) -> str:
    if conversion.phase is ConversionPhase.RUNNING:
        return f"conversion runs for {seconds_text(now - conversion.started_at)}: {conversion.progress or 'it has just begun'}"
    if conversion.artifact is not None:
        took = seconds_text((conversion.finished_at or now) - conversion.started_at)
        return f"converted in {took}: {_artifact(conversion.artifact)}"
    failure = conversion.failure
    why = f"at {failure.stage}: {clause(failure.cause)}" if failure else "without saying why"
    return f"conversion failed (attempt {conversion.attempt}) {why}"


def _artifact(artifact: Artifact) -> str:
    proof = artifact.verification
    drawn = "drawn" if proof.samples_drawn else "given"
    accuracy = f", accuracy {proof.accuracy:.4f}" if proof.accuracy is not None else ""
    return (
        f"artifact {artifact.digest[:12]}, {bytes_text(artifact.size_bytes)}, by {artifact.converted_with};"
        f" agreement {proof.agreement:.4f} on {proof.samples} {drawn} samples{accuracy}"
    )


def _servers_seen(deployment: Deployment, snapshot: Snapshot) -> list[str]:
    held = [_holding(server, holding) for server, holding in holdings_of(deployment, snapshot)]
    others = [f"server {server.name}: {server.message}" for server in snapshot.servers if server.message]
    return [*(held or ["no server holds it"]), *others]


def _holding(server: Server, holding: Holding) -> str:
    memory = f", {bytes_text(holding.footprint_bytes)}" if holding.footprint_bytes is not None else ""
    load = f", {holding.waiting} waiting, {holding.executing} in execution" if holding.waiting is not None else ""
    reason = f": {holding.reason}" if holding.reason else ""
    where = f"{server.name} ({server.phase.value}) holds revision {holding.version}"
    return f"{where}: {holding.phase.value}{memory}{load}{reason}"


def _demand(deployment: Deployment, snapshot: Snapshot) -> list[str]:
    if snapshot.demand is None:
        return ["the gateway does not answer: demand is unknown, replicas stay as they are"]
    demand = snapshot.demand.get(deployment.address)
    if demand is None:
        return ["no request so far"]
    return [f"{counted(demand.arrivals, 'request')} so far, {demand.in_flight} in flight, {demand.held} held at the gateway"]


def _decided(status: DeploymentStatus | None) -> list[str]:
    if status is None:
        return ["nothing yet"]
    lines = [f"revision {status.revision}"] if status.revision else []
    if status.footprint:
        lines.append(f"a replica takes {bytes_text(status.footprint.bytes)} ({_FOOTPRINTS[status.footprint.source]})")
    if status.scaling:
        lines.append(f"{counted(status.scaling.wanted, 'replica')} wanted")
        lines += [f"{past.from_replicas} → {past.to_replicas} replicas: {past.reason}" for past in status.scaling.decisions]
    return [*lines, *(f"{condition.type.value}: {condition.message}" for condition in status.conditions)]


def _routes(deployment: Deployment, snapshot: Snapshot) -> list[str]:
    route = next((route for route in snapshot.routes if route.address == deployment.address), None)
    return ["requests are answered as for an unknown model"] if route is None else [_route(route)]


def _route(route: Route) -> str:
    if route.state is RouteState.HELD:
        return "requests are held at the gateway until a replica is ready"
    if route.state is RouteState.STOPPED:
        return f"requests are refused: {route.reason}"
    shares = [f"{to.weight} % to revision {to.version} on {counted(len(to.endpoints), 'server')}" for to in route.versions]
    return f"requests go {', '.join(shares)}"


def _missing(deployment: Deployment) -> list[str]:
    status = deployment.status
    if status is None:
        return ["the first look of the controller"]
    found = [status.condition(kind) for kind in (ConditionType.CONVERTED, ConditionType.PLACED, ConditionType.READY)]
    missing = [condition.message for condition in found if condition and condition.status is not ConditionStatus.TRUE]
    if status.observed_generation != deployment.generation:
        missing.append("the controller has not looked at the latest change yet")
    return list(dict.fromkeys(missing)) or ["nothing"]


_FOOTPRINTS = {
    FootprintSource.MEASURED: "measured",
    FootprintSource.ESTIMATED: "estimated",
    FootprintSource.DECLARED: "declared",
}
