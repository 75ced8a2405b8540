"""What a route table means: which versions answer for a model, which tables are refused, and which entries left out."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from forebay_gateway.xds.routes import Share
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Endpoint, Route, RouteTable, WeightedVersion

_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-._A-Za-z0-9]{0,251}[A-Za-z0-9])?")
"""Also what Triton's repositories have, as in `densenet_onnx`: no host can name such a model, but a path can."""
_LAST_PORT: Final = 65535
_WHOLE: Final = 100


class RouteTableError(ValueError):
    """A table that cannot be served; the message says which entry is wrong and what it should be."""


@dataclass(frozen=True, slots=True)
class RouteIndex:
    """A route table, found by the model's address."""

    default_namespace: str
    routes: Mapping[ModelAddress, Route]
    mark: str
    """What the gateway reports once Envoy has the table: its digest, or in a cluster how far the routes were followed."""
    left_out: tuple[str, ...] = ()
    """Why entries of the table are not among the routes, one sentence each."""
    unusable: Mapping[ModelAddress, str] = field(default_factory=dict[ModelAddress, str])
    """Models whose routes cannot be followed, and why; among the routes is what is served instead."""
    surging: frozenset[ModelAddress] = frozenset()
    """Models whose requests come to the holder first, though they have replicas."""

    def find(self, address: ModelAddress) -> Route | None:
        return self.routes.get(address)

    def replicas(self, address: ModelAddress) -> int:
        """How many endpoints may answer for a model now; 0: its requests are held or refused."""
        route = self.routes.get(address)
        versions = serving(route) if route else ()
        return len({(endpoint.host, endpoint.http) for version in versions for endpoint in version.endpoints})


NO_ROUTES: Final = RouteIndex(default_namespace="default", routes={}, mark="")


def index_of(table: RouteTable) -> RouteIndex:
    """The index of a table: without entries that nobody could name, and holding what Envoy would not accept.

    Raises:
        RouteTableError: the table as a whole makes no sense.
    """
    for complaint in _complaints(table):
        raise RouteTableError(complaint)
    nameable = [route for route in table.routes if _is_nameable(route)]
    left_out = tuple(_unnameable(route) for route in table.routes if not _is_nameable(route))
    unusable = {route.address: complaint for route in nameable for complaint in complaints_of(route)}
    routes = {route.address: held(route) if route.address in unusable else route for route in nameable}
    return RouteIndex(table.default_namespace, routes, table.digest(), left_out, unusable)


def held(route: Route) -> Route:
    """The same model, but its requests wait."""
    return route.model_copy(update={"state": "held", "versions": ()})


def serving(route: Route) -> tuple[WeightedVersion, ...]:
    """The versions that get traffic: with weight and with an endpoint, of a model that is routed."""
    if route.state != "routed":
        return ()
    return tuple(version for version in route.versions if version.weight > 0 and version.endpoints)


def primary(route: Route) -> WeightedVersion | None:
    """The version that answers when one must be chosen: the one of greatest weight, of equals the newest."""
    return max(serving(route), key=lambda version: (version.weight, version.version), default=None)


def shares(route: Route) -> tuple[Share, ...]:
    """The parts of 100 of the versions in a rollout; empty if one version gets everything.

    Weights of versions without an endpoint go to the others; what rounding leaves goes to the primary version.
    """
    versions, main = serving(route), primary(route)
    if main is None or len(versions) == 1:
        return ()
    total = sum(version.weight for version in versions)
    parts = {version.version: version.weight * _WHOLE // total for version in versions}
    parts[main.version] += _WHOLE - sum(parts.values())
    return tuple(Share(version=version, weight=weight) for version, weight in parts.items())


def _complaints(table: RouteTable) -> Iterator[str]:
    if not _LABEL.fullmatch(table.default_namespace):
        yield f"default namespace {table.default_namespace!r} is no DNS label"
    seen = set[ModelAddress]()
    for route in table.routes:
        if route.address in seen:
            yield f"model {route.address} has two routes: a table has one per model"
        seen.add(route.address)


def _is_nameable(route: Route) -> bool:
    return bool(_LABEL.fullmatch(route.namespace) and _NAME.fullmatch(route.name))


def _unnameable(route: Route) -> str:
    return (
        f"model {str(route.address)!r} is left out: a namespace is a DNS label (a-z, 0-9, '-', at most 63 characters), "
        "a name may have A-Z, '_' and '.', too, and 253 characters"
    )


def complaints_of(route: Route) -> Iterator[str]:
    """Why Envoy would not accept a route, whatever else is in the table."""
    if len({version.version for version in route.versions}) != len(route.versions):
        yield "a version is listed twice"
    for version in route.versions:
        for endpoint in version.endpoints:
            yield from _endpoint_complaints(endpoint)


def _endpoint_complaints(endpoint: Endpoint) -> Iterator[str]:
    try:
        ipaddress.ip_address(endpoint.host)
    except ValueError:
        yield f"endpoint host {endpoint.host!r} is no IP address"
    for port in (endpoint.http, endpoint.grpc):
        if not 0 < port <= _LAST_PORT:
            yield f"endpoint port {port} is not between 1 and {_LAST_PORT}"
