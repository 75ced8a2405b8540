"""The invariants of the control step, checked after each step of a simulated world. Each yields sentences on what broke.

The numbers are those of the design: 1 memory is never over-committed, 2 the last ready replica stays, 3 routes are whole,
6 one writer and no contradiction, 7 lost memory changes nothing, 8 replicas stay within their bounds. Invariants 4 and 5 say
where a world ends: `convergence` checks them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from forebay_operator.domain.actions import Action, CollectArtifact, LoadReplica, ResizePool, SetRoutes, UnloadReplica
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.fleet import ReplicaKey
from forebay_operator.domain.routes import Route, RouteState, WeightedVersion
from forebay_operator.domain.snapshot import Holding, HoldingPhase, Pool, Server, ServerPhase
from forebay_operator.worlds.simulated.moment import Moment
from forebay_schema.addresses import ModelAddress

Rule = Callable[[Moment], Iterator[str]]
ALL_WEIGHT = 100
ON_THE_WAY_S = 10.0
"""Longer than any order is late, and until the page of its server has been read."""
IDLE_SLACK_S = 2.0
"""The step sees arrivals a little later than they happen."""


@dataclass(frozen=True, slots=True)
class Violation:
    seconds: float
    rule: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.rule}: {self.sentence}"


def check(moment: Moment) -> list[Violation]:
    """What one step broke; empty if nothing."""
    return [Violation(moment.seconds, name, sentence) for name, rule in RULES.items() for sentence in rule(moment)]


def memory_is_not_overcommitted(moment: Moment) -> Iterator[str]:
    for name in sorted({order.server for order in moment.loads}):
        server = moment.servers.get(name)
        if server is None:
            yield f"a replica is ordered onto {name}, which does not exist"
        elif moment.used_bytes(server) > server.pool.device.memory_bytes:
            what = ", ".join(f"{order.address} version {order.version}" for order in moment.loads if order.server == name)
            used, size = moment.used_bytes(server), server.pool.device.memory_bytes
            yield f"{name} has {size} bytes, and {used} are taken when it loads {what} beside what it holds"


def servers_stay_within_capacity(moment: Moment) -> Iterator[str]:
    resized = {resize.pool.device for resize in moment.resizes}
    for capacity in moment.snapshot.capacity:
        if capacity.device in resized and capacity.servers is not None:
            wanted = moment.wanted_servers(capacity.device)
            if wanted > capacity.servers:
                yield f"{wanted} servers of {capacity.device.name} are wanted in all, and there can be {capacity.servers}"


def the_last_ready_replica_stays(moment: Moment) -> Iterator[str]:
    for deployment in moment.snapshot.deployments:
        ready = moment.ready_replicas(deployment)
        is_last = all(moment.ends(server, holding) for server, holding in ready)
        if is_last and any(moment.is_new_end(server, holding) for server, holding in ready):
            refusal = _no_excuse(moment, deployment, ready)
            if refusal:
                versions = sorted({holding.version for _, holding in ready})
                yield f"{deployment.address}: its last ready replicas (of version {versions}) are unloaded: {refusal}"


def _no_excuse(moment: Moment, deployment: Deployment, ready: list[tuple[Server, Holding]]) -> str:
    """Why a model may not be left without a ready replica; empty if it may."""
    spec = deployment.spec
    if deployment.deleting or spec.stopped or spec.max_replicas == 0:
        return ""
    wanted = moment.wanted(deployment)
    if spec.min_replicas == 0 and wanted == 0:
        # Whether it was right to want none is another rule's: a request may come between that and the unloading.
        return ""
    otherwise = f"{max(wanted or 1, spec.min_replicas)} are to serve"
    return _no_swap(moment, deployment, ready, otherwise)


def none_is_wanted_only_when_idle(moment: Moment) -> Iterator[str]:
    for order in moment.statuses:
        deployment, scaling = moment.deployments.get(order.address), order.status.scaling
        if deployment is None or scaling is None or scaling.wanted > 0 or not moment.said.get(order.uid):
            continue
        spec = deployment.spec
        idle_s = moment.snapshot.now - moment.last_arrival.get(order.address, 0.0)
        timeout_s = spec.autoscaling.idle_timeout_s if spec.autoscaling else 0.0
        if not spec.stopped and not deployment.deleting and idle_s + IDLE_SLACK_S < timeout_s:
            yield f"{order.address}: none is wanted, its newest request came {idle_s:.1f} s ago, idleTimeout is {timeout_s} s"


def _no_swap(moment: Moment, deployment: Deployment, ready: list[tuple[Server, Holding]], otherwise: str) -> str:
    """A swap is for a newer revision that is converted, or for other devices, where there is no room beside the old."""
    records = sorted(moment.records_of(deployment), key=lambda record: record.number)
    newest = records[-1] if records else None
    if newest is None or newest.artifact is None:
        return f"{otherwise}, and nothing takes their place"
    if any(holding.version >= newest.number and moment.belongs(deployment, server.pool) for server, holding in ready):
        return f"{otherwise}, and no newer revision takes their place"
    needed = moment.footprint(deployment.address, newest.number, newest.artifact.digest)
    # A server that others wait for, too, may be theirs.
    room = "" if _others_wait(moment, deployment) else moment.place_for(deployment, needed)
    return f"{otherwise}, and revision {newest.number} ({needed} bytes) has room beside: {room}" if room else ""


def _others_wait(moment: Moment, deployment: Deployment) -> bool:
    return any(
        each.address != deployment.address and not moment.ready_replicas(each) and (moment.wanted(each) or 0) > 0
        for each in moment.snapshot.deployments
    )


def unloaded_only_when_no_request_can_come(moment: Moment) -> Iterator[str]:
    for order in moment.unloads:
        server = moment.servers.get(order.server)
        if ReplicaKey(order.server, order.address.name, order.version) in moment.given_before:
            continue
        phases = [
            holding.phase
            for holding in (server.holdings if server else ())
            if (holding.model, holding.version) == (order.address.name, order.version)
        ]
        if server is None or HoldingPhase.READY not in phases:
            continue
        what = f"{order.address}: version {order.version} is unloaded from {order.server}"
        if moment.snapshot.routes_acknowledged is None:
            yield f"{what}, and it is unknown what gateways route by"
        elif _names(moment.snapshot.routes_acknowledged, order, server) or _names(moment.routes, order, server):
            yield f"{what}, and requests are still routed there"


def _names(routes: tuple[Route, ...], order: UnloadReplica, server: Server) -> bool:
    return any(
        route.address == order.address and version.version == order.version and server.endpoint in version.endpoints
        for route in routes
        for version in route.versions
    )


def routes_are_whole(moment: Moment) -> Iterator[str]:
    routes = {route.address: route for route in moment.routes}
    if len(routes) != len(moment.routes):
        yield "a model has two routes"
    for deployment in moment.snapshot.deployments:
        route = routes.get(deployment.address)
        if deployment.deleting:
            continue
        if route is None:
            yield f"{deployment.address}: it has no route, so requests are answered as if there were no such model"
        elif (route.state is RouteState.STOPPED) != deployment.spec.stopped:
            yield f"{deployment.address}: stopped is {deployment.spec.stopped}, and its route is {route.state.value}"
        else:
            yield from _route_flaws(moment, deployment, route)


def _route_flaws(moment: Moment, deployment: Deployment, route: Route) -> Iterator[str]:
    weights = [version.weight for version in route.versions]
    if route.state is RouteState.ROUTED and sum(weights) != ALL_WEIGHT:
        yield f"{deployment.address}: its weights are {weights}, which add up to {sum(weights)}"
    if route.state is not RouteState.ROUTED and route.versions:
        yield f"{deployment.address}: its route is {route.state.value} and names versions"
    for version in route.versions:
        if not version.endpoints:
            yield f"{deployment.address}: version {version.version} has weight {version.weight} and no endpoint"
        yield from _endpoint_flaws(moment, deployment, version)


def _endpoint_flaws(moment: Moment, deployment: Deployment, version: WeightedVersion) -> Iterator[str]:
    ready = {
        server.endpoint
        for server, holding in moment.ready_replicas(deployment)
        if holding.version == version.version and not moment.ends(server, holding)
    }
    for endpoint in version.endpoints:
        if endpoint not in ready:
            yield f"{deployment.address}: version {version.version} is routed to port {endpoint.http}, where it is not ready"


def no_older_order_does_harm(moment: Moment) -> Iterator[str]:
    """What is routed to stays ready as long as its server answers: only an order of before could have ended it.

    The step cannot know of orders that were on their way when memory was lost, nor whether it is the older or the newer order
    for a replica that is late: then requests get the retry answer, and are held.
    """
    if moment.remembers_s < ON_THE_WAY_S or moment.orders_are_late:
        return
    for route in moment.snapshot.routes:
        for version in route.versions:
            for server in moment.snapshot.servers:
                phases = {
                    holding.phase
                    for holding in server.holdings
                    if (holding.model, holding.version) == (route.address.name, version.version)
                }
                routed = server.phase is ServerPhase.READY and server.endpoint in version.endpoints
                if routed and HoldingPhase.READY not in phases:
                    yield f"{route.address}: {server.name} let go of version {version.version}, which is routed there"


def one_order_for_one_thing(moment: Moment) -> Iterator[str]:
    counts = Counter(_thing(action) for action in moment.actions)
    for thing, count in counts.items():
        if count > 1:
            yield f"{count} orders in one step for {thing}"
    for status in moment.statuses:
        deployment = moment.deployments.get(status.address)
        if deployment is None or deployment.uid != status.uid:
            yield f"{status.address}: a status is written for a ModelDeployment that is not there"
        elif deployment.status == status.status:
            yield f"{status.address}: a status is written that is what it was"


def _thing(action: Action) -> tuple[object, ...]:
    """What must be ordered once a step at most: a load and an unload of the same version contradict each other."""
    match action:
        case LoadReplica() | UnloadReplica():
            return ("replica", action.server, str(action.address), action.version)
        case ResizePool():
            return ("pool", action.pool)
        case SetRoutes():
            return ("routes",)
        case CollectArtifact():
            return ("artifact", action.namespace, action.digest)
        case _:
            return (type(action).__name__, getattr(action, "id", None) or getattr(action, "uid", None))


def collected_only_when_nobody_needs_it(moment: Moment) -> Iterator[str]:
    needed = {
        (deployment.address.namespace, record.artifact.digest)
        for deployment in moment.snapshot.deployments
        for record in moment.records_of(deployment)
        if record.artifact is not None and not deployment.deleting
    }
    for order in moment.ordered(CollectArtifact):
        if (order.namespace, order.digest) in needed:
            yield f"artifact {order.digest[:12]} of {order.namespace} is deleted, and a status names it"


def lost_memory_changes_nothing(moment: Moment) -> Iterator[str]:
    if moment.actions_with_memory is None:
        return
    kept = [_effect(action) for action in moment.actions_with_memory]
    for order in moment.unloads:
        server = moment.servers.get(order.server)
        ready = server is not None and any(
            (holding.model, holding.version, holding.phase) == (order.address.name, order.version, HoldingPhase.READY)
            for holding in server.holdings
        )
        if ready and _effect(order) not in kept:
            yield f"{order.address}: version {order.version} is unloaded from {order.server} because memory was lost"
    loads = Counter((order.address, order.version) for order in moment.loads)
    with_memory = Counter((order[1], order[2]) for order in kept if order[0] == "load")
    for (address, version), count in loads.items():
        # A load that failed may be tried again sooner: the pause before that is what was lost. What the status says is wanted
        # may be wanted for longer: since when the model has been idle is lost, too. For what waits, more may be called for:
        # how much a replica can do is lost.
        is_excused = _said_before(moment, address, version, count) or _has_a_queue(moment, address)
        is_new = count > with_memory[address, version] and not is_excused
        if is_new and (address, version) not in moment.failed_before:
            yield f"{address}: {count} replicas of version {version} are ordered because memory was lost"
    yield from _shrunk_by_lost_memory(moment)


def _has_a_queue(moment: Moment, address: ModelAddress) -> bool:
    demand = (moment.snapshot.demand or {}).get(address)
    is_held = demand is not None and demand.held > 0
    return is_held or any(holding.waiting for _, holding in moment.holdings_of(address))


def _said_before(moment: Moment, address: ModelAddress, version: int, loads: int) -> bool:
    """Whether as many replicas as there are with these loads were wanted before: as the status says, or as are ready of
    another version (without memory, what is there counts as wanted)."""
    deployment = moment.deployments.get(address)
    scaling = deployment.status.scaling if deployment is not None and deployment.status is not None else None
    coming = (HoldingPhase.LOADING, HoldingPhase.READY)
    present = sum(each.version == version and each.phase in coming for _, each in moment.holdings_of(address))
    others = sum(each.version != version and each.phase is HoldingPhase.READY for _, each in moment.holdings_of(address))
    return scaling is not None and present + loads <= max(scaling.wanted, others)


def _shrunk_by_lost_memory(moment: Moment) -> Iterator[str]:
    kept = moment.actions_with_memory or ()
    for resize in moment.resizes:
        usable = [
            server
            for server in resize.victims
            if moment.servers[server].phase is ServerPhase.READY and not _is_left_by_what_never_showed(moment, server)
        ]
        if _is_tried_again_on(moment, resize.pool):
            # A load that failed may be tried again sooner, on the device of a server that holds nothing.
            usable = [server for server in usable if moment.servers[server].holdings]
        kept_victims = [other.victims for other in kept if isinstance(other, ResizePool) and other.pool == resize.pool]
        if any(victim not in victims for victim in usable for victims in kept_victims or [()]):
            yield f"{usable} of pool {resize.pool.namespace}/{resize.pool.device.name} end because memory was lost"


def _is_left_by_what_never_showed(moment: Moment, name: str) -> bool:
    """Whether a server holds nothing, and only memory knows of a load that may have come there and is called back."""
    recalled = {action.server for action in moment.actions_with_memory or () if isinstance(action, UnloadReplica)}
    return name in recalled and not moment.servers[name].holdings


def _is_tried_again_on(moment: Moment, pool: Pool) -> bool:
    """Whether a model whose load failed may be on such a device, in whatever pool."""
    failed = {address for address, _ in moment.failed_before}
    return any(
        deployment.address in failed and pool.device in moment.suitable_devices(deployment.spec.placement)
        for deployment in moment.snapshot.deployments
    )


def _effect(action: Action) -> tuple[object, ...]:
    match action:
        case LoadReplica():
            return ("load", action.address, action.version)
        case UnloadReplica():
            return ("unload", action.address, action.version, action.server)
        case _:
            return ("other",)


def wanted_stays_within_bounds(moment: Moment) -> Iterator[str]:
    for order in moment.statuses:
        deployment = moment.deployments.get(order.address)
        scaling = order.status.scaling
        if deployment is None or scaling is None or deployment.spec.stopped or deployment.deleting:
            continue
        least, most = deployment.spec.min_replicas, deployment.spec.max_replicas
        if not least <= scaling.wanted <= most:
            yield f"{order.address}: {scaling.wanted} replicas are wanted, and {least} to {most} are allowed"


def decisions_follow_one_another(moment: Moment) -> Iterator[str]:
    """Each decision begins where the one before ended, and none is told twice."""
    for order in moment.statuses:
        told = order.status.scaling.decisions if order.status.scaling else ()
        for before, after in pairwise(told):
            if before.to_replicas != after.from_replicas or before.time > after.time:
                yield f"{order.address}: a decision to have {before.to_replicas} is followed by one from {after.from_replicas}"
        if any(decision.from_replicas == decision.to_replicas for decision in told):
            yield f"{order.address}: a decision is told that changes nothing"


def unknown_demand_holds(moment: Moment) -> Iterator[str]:
    if moment.snapshot.demand is not None:
        return
    for order in moment.statuses:
        deployment, before = moment.deployments.get(order.address), moment.said.get(order.uid)
        if deployment is None or before is None or order.status.scaling is None:
            continue
        if deployment.spec.stopped or deployment.deleting:
            continue
        held = max(deployment.spec.min_replicas, min(deployment.spec.max_replicas, before))
        if order.status.scaling.wanted != held:
            yield f"{order.address}: wanted goes from {before} to {order.status.scaling.wanted} while demand is unknown"


RULES: dict[str, Rule] = {
    "1 memory": memory_is_not_overcommitted,
    "1 capacity": servers_stay_within_capacity,
    "2 last replica": the_last_ready_replica_stays,
    "2 idle": none_is_wanted_only_when_idle,
    "2 drain": unloaded_only_when_no_request_can_come,
    "3 routes": routes_are_whole,
    "4 artifacts": collected_only_when_nobody_needs_it,
    "6 older order": no_older_order_does_harm,
    "6 one writer": one_order_for_one_thing,
    "7 memory lost": lost_memory_changes_nothing,
    "8 bounds": wanted_stays_within_bounds,
    "8 unknown": unknown_demand_holds,
    "8 decisions": decisions_follow_one_another,
}
