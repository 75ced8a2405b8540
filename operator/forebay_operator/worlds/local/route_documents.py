"""The step's routes as the route table that the gateway reads."""

from collections.abc import Iterable

from forebay_operator.domain.routes import Route, RouteState, WeightedVersion
from forebay_schema import routes as documents


def route_table(routes: Iterable[Route], hold_seconds: float) -> documents.RouteTable:
    """The whole table; the same routes give the same digest."""
    return documents.RouteTable(routes=tuple(_route(route, hold_seconds) for route in routes))


def _route(route: Route, hold_seconds: float) -> documents.Route:
    return documents.Route(
        namespace=route.address.namespace,
        name=route.address.name,
        state=_STATES[route.state],
        reason=route.reason,
        versions=tuple(_version(version) for version in route.versions),
        hold=documents.HoldLimits(seconds=hold_seconds),
    )


def _version(version: WeightedVersion) -> documents.WeightedVersion:
    endpoints = tuple(documents.Endpoint(host=at.host, http=at.http, grpc=at.grpc) for at in version.endpoints)
    return documents.WeightedVersion(version=version.version, weight=version.weight, endpoints=endpoints)


_STATES: dict[RouteState, documents.RouteState] = {
    RouteState.ROUTED: "routed",
    RouteState.HELD: "held",
    RouteState.STOPPED: "stopped",
}
