"""What ModelDeployments say of routes. No I/O, no clock."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from forebay_gateway.routing import complaints_of
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Endpoint, HoldLimits, Route, WeightedVersion

Json = Mapping[str, Any]
STOPPED: Final = "spec.stopped is true"


def route_of(content: Json, hold: HoldLimits) -> Route:
    """The route of a ModelDeployment: stopped by its spec, else to where its status says, else held.

    Raises:
        ValueError: the status says what cannot be routed to; the message names it.
    """
    held = held_route(address_of(content), hold)
    if _part(content, "spec").get("stopped"):
        return held.model_copy(update={"state": "stopped", "reason": STOPPED})
    traffic = _part(content, "status").get("traffic")
    if not traffic:
        return held
    if not isinstance(traffic, list):
        raise ValueError("status.traffic is no list")  # noqa: TRY004  (what an object says is a value)
    route = held.model_copy(update={"state": "routed", "versions": tuple(_version(share) for share in traffic)})
    for complaint in complaints_of(route):
        raise ValueError(complaint)
    return route


def address_of(content: Json) -> ModelAddress:
    return ModelAddress(namespace=content["metadata"]["namespace"], name=content["metadata"]["name"])


def held_route(address: ModelAddress, hold: HoldLimits) -> Route:
    return Route(namespace=address.namespace, name=address.name, state="held", hold=hold)


def _part(content: Json, name: str) -> Json:
    part = content.get(name)
    return part if isinstance(part, Mapping) else {}


def _version(share: Json) -> WeightedVersion:
    try:
        endpoints = tuple(Endpoint.model_validate(endpoint) for endpoint in share.get("endpoints") or ())
        return WeightedVersion(version=share["revision"], weight=share["weight"], endpoints=endpoints)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"status.traffic has an entry that makes no sense ({type(error).__name__}: {error})") from None


T = TypeVar("T")


def _with(values: Mapping[ModelAddress, T], address: ModelAddress, value: T | None) -> Mapping[ModelAddress, T]:
    """A copy with another value; None: without one."""
    copy = dict(values)
    if value is None:
        copy.pop(address, None)
    else:
        copy[address] = value
    return copy


class Deployments:
    """The routes of one namespace, or of all, as a listing and the events after it say."""

    def __init__(
        self, hold: HoldLimits, changed: Callable[[], None], before: Mapping[ModelAddress, Route] | None = None
    ) -> None:
        """`before`: the routes until the first listing."""
        self._hold = hold
        self._changed = changed
        self.version = 0
        """All that happened up to this resourceVersion is in `routes`; 0: nothing was listed yet."""
        self.routes: Mapping[ModelAddress, Route] = before or {}
        """Another mapping whenever a route is another one."""
        self.unusable: Mapping[ModelAddress, str] = {}
        """Models whose status cannot be followed, and why: their requests are held."""

    def replace(self, contents: Iterable[Json], version: int) -> None:
        """Take a whole listing."""
        routes: dict[ModelAddress, Route] = {}
        unusable: dict[ModelAddress, str] = {}
        for content in contents:
            address = address_of(content)
            route, why = self._route(content)
            known = self.routes.get(address)
            routes[address] = known if known is not None and known == route else route
            if why:
                unusable[address] = why
        if routes != self.routes:
            self.routes = routes
        self.unusable = unusable
        self._advance(version)

    def take(self, event: Json) -> None:
        """Take an event of a watch; bookmarks have no object, only a version."""
        content = event["object"]
        if event["type"] in ("ADDED", "MODIFIED"):
            self._put(address_of(content), *self._route(content))
        elif event["type"] == "DELETED":
            self._put(address_of(content), None, "")
        self._advance(int(content["metadata"]["resourceVersion"]))

    def _route(self, content: Json) -> tuple[Route, str]:
        try:
            return route_of(content, self._hold), ""
        except ValueError as error:
            return held_route(address_of(content), self._hold), str(error)

    def _put(self, address: ModelAddress, route: Route | None, why: str) -> None:
        if route != self.routes.get(address):
            self.routes = _with(self.routes, address, route)
        if why != self.unusable.get(address, ""):
            self.unusable = _with(self.unusable, address, why or None)

    def disturbed(self) -> None:
        """It cannot be followed now: tell those who wait for a first listing."""
        self._changed()

    def _advance(self, version: int) -> None:
        self.version = version
        self._changed()
