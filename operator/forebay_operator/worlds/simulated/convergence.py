"""Where a world must come to once nothing changes any more: invariants 4 and 5, and every servable model served."""

from collections.abc import Iterator

from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.revisions import identify
from forebay_operator.domain.routes import RouteState
from forebay_operator.domain.snapshot import Holding, Server
from forebay_operator.worlds.simulated.conversions import artifact_digest
from forebay_operator.worlds.simulated.invariants import Violation
from forebay_operator.worlds.simulated.moment import Moment
from forebay_operator.worlds.simulated.world import SimulatedWorld
from forebay_schema.addresses import ModelAddress

AT_REST_S = 60.0
"""So long before the end, nothing may be ordered any more."""
LATE_S = 300.0
FEW_SERVERS = 4


def check_end(world: SimulatedWorld, moment: Moment, last_order_at: float) -> list[Violation]:
    """What is wrong at the end of a world, after a long time without edits, faults and requests."""
    deployments = moment.snapshot.deployments
    restless = any(is_underestimated(world, moment, deployment) for deployment in deployments)
    sentences = [
        *([] if restless else (*_unrest(moment, last_order_at), *_idle_servers(moment), *_outdated_servers(moment))),
        *(
            f"request {request.number} of {request.address} has no answer yet"
            for request in sorted(world.ledger.open, key=lambda request: request.number)
        ),
        *_left_behind(world, moment),
        *_churn(world),
        *(sentence for deployment in deployments for sentence in _flaws(world, moment, deployment)),
    ]
    return [Violation(moment.seconds, "5 end", sentence) for sentence in sentences]


def check_requests(world: SimulatedWorld) -> list[Violation]:
    """Every request that has not ended must be somewhere, and only once."""
    held = sum(len(queue) for queue in world.gateway.held.values())
    inside = sum(len(server.requests()) for server in world.fleet.servers.values())
    if held + inside == len(world.ledger.open):
        return []
    sentence = f"{len(world.ledger.open)} requests are open, {held} are held and {inside} are in servers"
    return [Violation(world.seconds, "requests", sentence)]


def _unrest(moment: Moment, last_order_at: float) -> Iterator[str]:
    if moment.seconds - last_order_at < AT_REST_S:
        what = ", ".join(sorted({type(action).__name__ for action in moment.actions}))
        yield f"something was ordered {moment.seconds - last_order_at:.0f} s ago still ({what or 'nothing now'})"


def _churn(world: SimulatedWorld) -> Iterator[str]:
    """Even a load that is refused for ever is tried again on new servers ever more rarely."""
    started = [server for server in world.fleet.started_at if server > world.timeline.now - LATE_S]
    if len(started) > FEW_SERVERS:
        yield f"{len(started)} servers were started in the last {LATE_S:.0f} s, in which nobody asked and nothing changed"


def _left_behind(world: SimulatedWorld, moment: Moment) -> Iterator[str]:
    for server in moment.snapshot.servers:
        for holding in server.holdings:
            if not any(
                (address.namespace, address.name) == (server.pool.namespace, holding.model) for address in moment.deployments
            ):
                yield f"{server.name} holds version {holding.version} of {holding.model}, which was deleted"
    for route in moment.routes:
        if route.address not in moment.deployments:
            yield f"{route.address} was deleted and has a route"
    used = {
        (deployment.address.namespace, digest)
        for deployment in moment.snapshot.deployments
        for digest in world.digests_of(deployment.uid)
    }
    for artifact in moment.snapshot.artifacts:
        if (artifact.namespace, artifact.digest) not in used:
            yield f"artifact {artifact.digest[:12]} of {artifact.namespace} is kept, and nobody has used it for long"
    if not moment.deployments and moment.snapshot.conversions:
        yield f"{len(moment.snapshot.conversions)} conversions are kept for nobody"


def _idle_servers(moment: Moment) -> Iterator[str]:
    warm = moment.snapshot.settings.warm_servers
    for pool in sorted({server.pool for server in moment.snapshot.servers}):
        servers = [server for server in moment.snapshot.servers if server.pool == pool]
        empty = [server for server in servers if not server.holdings]
        if len(empty) > warm:
            yield f"{len(empty)} servers of {pool.namespace}/{pool.device.name} hold nothing, {warm} are to be kept warm"


def _outdated_servers(moment: Moment) -> Iterator[str]:
    """A server that is outdated stays only where no other of its kind can be started beside it.

    What is kept for a rollout, or for a move to other devices, that cannot go on does not move.
    """
    capacity = {entry.device: entry.servers for entry in moment.snapshot.capacity}
    for server in moment.snapshot.servers:
        allowed = capacity.get(server.pool.device, 0)
        if server.outdated and not server.holdings:
            yield f"{server.name} is outdated and holds nothing"
        elif server.outdated and any(_is_on_its_way_out(moment, server, holding) for holding in server.holdings):
            continue
        elif server.outdated and (allowed is None or moment.wanted_servers(server.pool.device) < allowed):
            yield f"{server.name} is outdated, and there is a device for what it holds"


def _is_on_its_way_out(moment: Moment, server: Server, holding: Holding) -> bool:
    """Whether it only stays until there is room for a newer revision, or where the spec wants it by now."""
    deployment = moment.deployments.get(ModelAddress(server.pool.namespace, holding.model))
    if deployment is None:
        return False
    is_replaced = any(record.number > holding.version for record in moment.records_of(deployment))
    return is_replaced or not moment.belongs(deployment, server.pool)


def _flaws(world: SimulatedWorld, moment: Moment, deployment: Deployment) -> Iterator[str]:
    address, status = deployment.address, deployment.status
    route = next((route for route in moment.routes if route.address == address), None)
    ready = moment.ready_replicas(deployment)
    if status is None:
        yield f"{address} has no status"
        return
    if status.observed_generation != deployment.generation:
        yield f"{address}: its status is of generation {status.observed_generation}, its spec of {deployment.generation}"
    serving = sum(holding.version == status.revision for _, holding in ready)
    if status.ready_replicas != serving:
        yield f"{address}: its status counts {status.ready_replicas} ready replicas, and {serving} of that revision are"
    if not status.summary:
        yield f"{address}: its status has no summary"
    if route is None:
        yield f"{address} has no route"
    elif (route.state is RouteState.ROUTED) != bool(ready):
        yield f"{address}: its route is {route.state.value} with {len(ready)} ready replicas"
    if deployment.deleting or deployment.spec.stopped:
        if list(moment.holdings_of(address)):
            yield f"{address} is stopped, and servers hold it"
    elif refused(world, deployment):
        yield from _fallback_flaws(world, moment, deployment, ready)
    else:
        yield from _replica_flaws(world, moment, deployment, ready)


def refused(world: SimulatedWorld, deployment: Deployment) -> bool:
    """Whether the newest spec cannot be converted, or was not when it was tried; then what was there before serves on."""
    source = deployment.spec.source
    if source.uri not in world.story.sources or world.story.sources[source.uri].refusal is not None:
        return True
    conversion = world.conversions.known.get(identify(deployment.address.namespace, deployment.spec).conversion)
    return conversion is not None and conversion.failure is not None and not conversion.failure.retryable


def _fallback_flaws(
    world: SimulatedWorld, moment: Moment, deployment: Deployment, ready: list[tuple[Server, Holding]]
) -> Iterator[str]:
    """With a newest revision that cannot be converted, the one before serves, if there is one and it truly has room."""
    records = [record for record in moment.records_of(deployment) if record.artifact is not None]
    if not records or ready or not moment.wanted(deployment):
        return
    newest = max(records, key=lambda record: record.number)
    digest = newest.artifact.digest if newest.artifact else ""
    behaviour = world.store.behaviours.get(digest)
    needed = max(moment.footprint(deployment.address, newest.number, digest), behaviour.footprint_bytes if behaviour else 0)
    room = moment.place_for(deployment, needed)
    if room:
        yield f"{deployment.address}: revision {newest.number} could serve and does not: {room}"


def is_underestimated(world: SimulatedWorld, moment: Moment, deployment: Deployment) -> bool:
    """Whether a replica truly takes more than it is counted with: then loads may be refused, and are tried again for ever."""
    status = moment.status_of(deployment)
    newest = max((record.number for record in status.revisions), default=0) if status else 0
    digest = digest_of_spec(deployment)
    behaviour = world.store.behaviours.get(digest)
    return behaviour is not None and behaviour.footprint_bytes > moment.footprint(deployment.address, newest, digest)


def digest_of_spec(deployment: Deployment) -> str:
    return artifact_digest(deployment.spec.source, deployment.spec.serving.max_batch_size)


def _replica_flaws(
    world: SimulatedWorld, moment: Moment, deployment: Deployment, ready: list[tuple[Server, Holding]]
) -> Iterator[str]:
    address, status, spec = deployment.address, deployment.status, deployment.spec
    digest = artifact_digest(spec.source, spec.serving.max_batch_size)
    newest = max((record.number for record in status.revisions), default=0) if status else 0
    current = [(server, holding) for server, holding in ready if (holding.version, holding.digest) == (newest, digest)]
    wanted = status.scaling.wanted if status and status.scaling else spec.min_replicas
    if not spec.min_replicas <= wanted <= max(1, spec.min_replicas):
        yield f"{address}: nobody asks, at least {spec.min_replicas} replicas are to be there, and {wanted} are wanted"
    if len(current) > wanted:
        yield f"{address}: {len(current)} replicas are ready, {wanted} are wanted"
    if len(current) < wanted:
        if not is_underestimated(world, moment, deployment):
            yield from _why_not_more(moment, deployment, current, wanted, newest)
    elif len(ready) > len(current):
        yield f"{address}: version {newest} is ready, and older versions are still held"


def _why_not_more(
    moment: Moment, deployment: Deployment, current: list[tuple[Server, Holding]], wanted: int, newest: int
) -> Iterator[str]:
    """Fewer replicas than wanted are right only where there truly is no room."""
    address = deployment.address
    digest = digest_of_spec(deployment)
    needed = moment.footprint(address, newest, digest)
    room = moment.place_for(deployment, needed, without={server.name for server, _ in current})
    if room:
        yield f"{address}: {len(current)} of {wanted} replicas are ready, and there is room for one of {needed} bytes: {room}"
