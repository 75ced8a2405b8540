"""The route table as statuses say it, and which part of it every gateway has acknowledged."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.routes import Endpoint, Route, RouteState, WeightedVersion, held, stopped, table_of
from forebay_operator.worlds.kubernetes.models import Model
from forebay_schema.addresses import ModelAddress

_MOST_KEPT = 32


@dataclass(frozen=True, slots=True)
class _Written:
    """A route, and the version of the object from which on it is so."""

    version: int
    route: Route


class RouteHistory:
    """Remembers the routes of each model from the oldest that any gateway may still follow."""

    def __init__(self) -> None:
        self._history: dict[ModelAddress, list[_Written]] = {}
        self._asked: dict[ModelAddress, Route] = {}
        self._seen: dict[ModelAddress, Model] = {}
        self._followed: tuple[Model, ...] | None = None
        self._changes = 0
        """Of the history; what is made of it stays the same as long as this does."""
        self._table: tuple[int | None, tuple[Route, ...]] = (None, ())
        self._acknowledged: tuple[object, tuple[Route, ...] | None] = (None, None)

    def asked(self, routes: Iterable[Route]) -> None:
        """The table that the step wants: what statuses do not say of it (reasons) is remembered here."""
        self._asked = {route.address: route for route in routes}
        self._changes += 1

    def follow(self, models: tuple[Model, ...]) -> None:
        """Take notice of what statuses say now."""
        if models is self._followed:
            return
        self._followed = models
        present: dict[ModelAddress, Model] = {}
        for model in models:
            address = ModelAddress(model.seen.namespace, model.seen.name)
            present[address] = model
            if self._seen.get(address) is not model:
                self._note(address, model)
        for address in self._history.keys() - present.keys():
            del self._history[address]
            self._changes += 1
        self._seen = present

    @property
    def addresses(self) -> Set[ModelAddress]:
        """The models that have a route."""
        return self._history.keys()

    def table(self) -> tuple[Route, ...]:
        """The routes as they are written."""
        if self._table[0] != self._changes:
            self._table = (self._changes, table_of(self._as_asked(entries[-1].route) for entries in self._history.values()))
        return self._table[1]

    def acknowledged(self, version: int | None, refused: Set[ModelAddress] = frozenset()) -> tuple[Route, ...] | None:
        """Where requests may still go, when every gateway has come to this version. None: it cannot be said.

        Gateways differ in how far they have come: a model's entry names what any of its routes from there on names. Of a
        model of which a gateway has `refused` a route it is not known which one is followed: its entry names all of them.
        """
        if version is None:
            return None
        made_of = (version, refused, self._changes)
        if self._acknowledged[0] != made_of:
            self._acknowledged = (made_of, self._acknowledge(version, refused))
        return self._acknowledged[1]

    def _acknowledge(self, version: int, refused: Set[ModelAddress]) -> tuple[Route, ...] | None:
        found: list[Route] = []
        for address, entries in self._history.items():
            if entries[0].version > version:
                return None
            if address in refused:
                found.append(_united([each.route for each in entries]))
                continue
            later = [each for each in entries if each.version > version]
            last = [each for each in entries if each.version <= version][-1]
            self._history[address] = [last, *later]
            found.append(_united([last.route, *(each.route for each in later)]))
        return table_of(found)

    def _note(self, address: ModelAddress, model: Model) -> None:
        entries = self._history.setdefault(address, [])
        route = _route(address, model.deployment)
        if not entries or entries[-1].route != route:
            entries.append(_Written(model.seen.version, route))
            self._changes += 1
            # A gateway that never acknowledges must not have memory grow: what is united is a safe answer, too.
            if len(entries) > _MOST_KEPT:
                entries[:2] = [_Written(entries[0].version, _united([entries[0].route, entries[1].route]))]

    def _as_asked(self, route: Route) -> Route:
        asked = self._asked.get(route.address)
        same = asked is not None and (asked.state, asked.versions) == (route.state, route.versions)
        return asked if asked is not None and same else route


def _route(address: ModelAddress, deployment: Deployment | None) -> Route:
    if deployment is None:
        return held(address)
    if deployment.spec.stopped:
        return stopped(address, "")
    traffic = deployment.status.traffic if deployment.status else ()
    return Route(address=address, state=RouteState.ROUTED, versions=traffic) if traffic else held(address)


def _united(routes: list[Route]) -> Route:
    """A route that names what any of these names; its weights mean nothing."""
    if len(routes) == 1:
        return routes[0]
    endpoints: dict[int, set[Endpoint]] = {}
    for route in routes:
        for entry in route.versions:
            endpoints.setdefault(entry.version, set()).update(entry.endpoints)
    versions = tuple(WeightedVersion(version, 0, tuple(sorted(endpoints[version]))) for version in sorted(endpoints))
    return Route(address=routes[-1].address, state=RouteState.ROUTED if versions else routes[-1].state, versions=versions)
