"""Why a model of this machine is as it is: what was asked, what was seen, what was decided, what is missing."""

from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.revisions import identify
from forebay_operator.domain.snapshot import Conversion, ConversionFailure, ConversionPhase, Holding, Server, Snapshot
from forebay_operator.domain.wording import bytes_text, clause, counted, seconds_text
from forebay_operator.worlds.explanation import Chapter, artifact_text, asked, decided, missing, route_text
from forebay_operator.worlds.local.picture import holdings_of


def explain(deployment: Deployment, snapshot: Snapshot) -> tuple[Chapter, ...]:
    """The causal chain of one ModelDeployment, from the wish to what still stands in its way."""
    stands_in_the_way = tuple(missing(deployment))
    seen = (
        *_conversion_seen(deployment, snapshot, stands_in_the_way),
        *_servers_seen(deployment, snapshot),
        *_demand(deployment, snapshot),
    )
    return (
        Chapter("Asked", tuple(asked(deployment.spec))),
        Chapter("Seen", seen),
        Chapter("Decided", (*decided(deployment.status), *_routes(deployment, snapshot))),
        Chapter("Missing", stands_in_the_way),
    )


def _conversion_seen(deployment: Deployment, snapshot: Snapshot, told: tuple[str, ...]) -> list[str]:
    key = identify(deployment.address.namespace, deployment.spec).conversion
    found = next((conversion for conversion in snapshot.conversions if conversion.id == key), None)
    if found is not None:
        return [_conversion(found, snapshot.now, told)]
    artifact = deployment.status.artifact if deployment.status else None
    return [f"converted before: {artifact_text(artifact)}"] if artifact else ["no conversion yet"]


def _conversion(conversion: Conversion, now: float, told: tuple[str, ...]) -> str:
    if conversion.phase is ConversionPhase.RUNNING:
        return f"conversion runs for {seconds_text(now - conversion.started_at)}: {conversion.progress or 'it has just begun'}"
    if conversion.artifact is not None:
        took = seconds_text((conversion.finished_at or now) - conversion.started_at)
        return f"converted in {took}: {artifact_text(conversion.artifact)}"
    return f"conversion failed (attempt {conversion.attempt}){_why(conversion.failure, told)}"


def _why(failure: ConversionFailure | None, told: tuple[str, ...]) -> str:
    """Where a conversion failed, and why unless that is told as what is missing."""
    if failure is None:
        return " without saying why"
    cause = clause(failure.cause)
    return f" at {failure.stage}" if any(cause in line for line in told) else f" at {failure.stage}: {cause}"


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


def _routes(deployment: Deployment, snapshot: Snapshot) -> list[str]:
    route = next((route for route in snapshot.routes if route.address == deployment.address), None)
    return ["requests are answered as for an unknown model"] if route is None else [route_text(route)]
