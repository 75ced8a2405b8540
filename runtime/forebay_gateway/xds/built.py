"""The resources of the newest table. With thousands of models and one that changes, only that one's are built."""

from forebay_gateway.routing import RouteIndex, shares
from forebay_gateway.settings import Sockets
from forebay_gateway.xds.messages import Resource
from forebay_gateway.xds.resources import clusters_of, generic_route
from forebay_gateway.xds.routes import Share
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Route

Pair = tuple[Resource, Resource]
"""A cluster with its endpoints."""


class Built:
    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._routes: dict[ModelAddress, Route] = {}
        self._names: dict[ModelAddress, tuple[str, ...]] = {}
        self._rollouts: dict[ModelAddress, tuple[Share, ...]] = {}
        self._namespace = ""
        self._surging: frozenset[ModelAddress] = frozenset()
        self._generic: Resource | None = None
        self.clusters: dict[str, Pair] = {}
        """All of the table's clusters, by their names."""

    def __contains__(self, address: ModelAddress) -> bool:
        return address in self._routes

    def follow(self, index: RouteIndex) -> list[Pair]:
        """Take the next table; gives the clusters that are new or others than before."""
        for address in self._routes.keys() - index.routes.keys():
            self._forget(address)
        turned, self._surging = self._surging ^ index.surging, index.surging
        changed = [route for address, route in index.routes.items() if address in turned or not self._is_known(address, route)]
        for route in changed:
            self._forget(route.address)
            self._build(route)
        if index.default_namespace != self._namespace:
            self._namespace, self._generic = index.default_namespace, None
        return [self.clusters[name] for route in changed for name in self._names[route.address]]

    def route(self) -> Resource:
        """The generic route; it changes only with the rollouts."""
        if self._generic is None:
            self._generic = generic_route(self._namespace, self._rollouts)
        return self._generic

    def _is_known(self, address: ModelAddress, route: Route) -> bool:
        known = self._routes.get(address)
        return known is route or (known is not None and known == route)

    def _build(self, route: Route) -> None:
        made = clusters_of(route, self._sockets, holder_first=route.address in self._surging)
        pairs = {cluster.name: (cluster, endpoints) for cluster, endpoints in made}
        self._routes[route.address] = route
        self._names[route.address] = tuple(pairs)
        self.clusters |= pairs
        if parts := shares(route):
            self._rollouts[route.address] = parts
            self._generic = None

    def _forget(self, address: ModelAddress) -> None:
        self._routes.pop(address, None)
        for name in self._names.pop(address, ()):
            del self.clusters[name]
        if self._rollouts.pop(address, None):
            self._generic = None
