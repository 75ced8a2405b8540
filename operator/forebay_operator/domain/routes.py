"""What the gateway answers with for a model."""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter

from forebay_schema.addresses import ModelAddress


class RouteState(enum.Enum):
    ROUTED = "routed"
    HELD = "held"
    """Requests wait at the gateway for a replica."""
    STOPPED = "stopped"
    """Requests are refused, with the reason."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    host: str
    http: int
    grpc: int


@dataclass(frozen=True, slots=True)
class WeightedVersion:
    version: int
    weight: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    address: ModelAddress
    state: RouteState
    reason: str = ""
    versions: tuple[WeightedVersion, ...] = ()
    """With `ROUTED`: at least one, weights add up to 100, each with endpoints. Otherwise none."""


def routed(address: ModelAddress, version: int, endpoints: Iterable[Endpoint]) -> Route:
    """All requests go to one version."""
    versions = (WeightedVersion(version, 100, tuple(sorted(endpoints))),)
    return Route(address=address, state=RouteState.ROUTED, versions=versions)


def held(address: ModelAddress, reason: str = "") -> Route:
    return Route(address=address, state=RouteState.HELD, reason=reason)


def stopped(address: ModelAddress, reason: str) -> Route:
    return Route(address=address, state=RouteState.STOPPED, reason=reason)


def table_of(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The route table: sorted by address."""
    return tuple(sorted(routes, key=attrgetter("address")))


Acknowledged = Callable[[ModelAddress], frozenset[tuple[int, Endpoint]] | None]
"""The versions and endpoints that requests for a model may still go to. None: it is not known."""


def acknowledged(table: Iterable[Route] | None) -> Acknowledged:
    """What every gateway has acknowledged, looked through when it is first asked for. `table`: None where it is not known."""
    found: dict[ModelAddress, frozenset[tuple[int, Endpoint]]] | None = None

    def of(address: ModelAddress) -> frozenset[tuple[int, Endpoint]] | None:
        nonlocal found
        if table is None:
            return None
        found = named(table) if found is None else found
        return found.get(address, frozenset())

    return of


def named(routes: Iterable[Route]) -> dict[ModelAddress, frozenset[tuple[int, Endpoint]]]:
    """For every model that is routed: the versions and endpoints that its requests may go to."""
    return {
        route.address: frozenset((entry.version, endpoint) for entry in route.versions for endpoint in entry.endpoints)
        for route in routes
        if route.versions
    }
