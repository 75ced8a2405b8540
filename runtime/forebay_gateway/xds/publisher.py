"""Brings a route table into Envoy in an order in which no request ever finds a gap.

1. New and changed clusters with their endpoints; a model's version switches here, at once.
2. When Envoy has them, the route (it changes only with a rollout). If it refuses any, the table stays here: what is served
   goes on, and only another table can put it right.
3. When Envoy has that, clusters no longer routed to follow their model's present version, and stay a while: requests that are
   in them may still need a retry.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from forebay_gateway.routing import RouteIndex, primary
from forebay_gateway.settings import Sockets
from forebay_gateway.xds.messages import CLUSTER, ROUTE, Resource
from forebay_gateway.xds.names import ClusterName
from forebay_gateway.xds.resources import clusters_of, pair, route_of
from forebay_gateway.xds.store import ResourceStore
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Route

LINGER_S: Final = 60.0
"""How long a cluster outlives its use at least, or as long as a request may be held."""


class Publisher:
    """Publishes the newest table; an older one that is still on its way is overtaken."""

    def __init__(self, store: ResourceStore, sockets: Sockets, published: Callable[[RouteIndex], None]) -> None:
        """`published` is called when connected Envoys have accepted all of a table, and again when a new Envoy has."""
        self._store = store
        self._sockets = sockets
        self._published = published
        self._built: dict[ModelAddress, tuple[Route, list[tuple[Resource, Resource]]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._removals: dict[str, asyncio.TimerHandle] = {}
        self._progress = asyncio.Event()
        store.listeners.append(self._progress.set)

    def publish(self, index: RouteIndex) -> None:
        if self._task:
            self._task.cancel()
        clusters = self._clusters(index)
        self._put(clusters)
        self._forget_refused(clusters)
        if not self._store.connected:
            self._store.put([route_of(index)])
        self._task = asyncio.create_task(self._follow_up(index, clusters))

    def close(self) -> None:
        if self._task:
            self._task.cancel()
        for timer in self._removals.values():
            timer.cancel()

    async def _follow_up(self, index: RouteIndex, clusters: dict[str, tuple[Resource, Resource]]) -> None:
        await self._accepted()
        self._store.put([route_of(index)])
        await self._accepted()
        self._retire(index, clusters)
        while True:
            await self._accepted(by_someone=True)
            self._published(index)
            await self._unaccepted()

    def _clusters(self, index: RouteIndex) -> dict[str, tuple[Resource, Resource]]:
        """The clusters of the table by name; those of a model whose route did not change are not built again."""
        built: dict[ModelAddress, tuple[Route, list[tuple[Resource, Resource]]]] = {}
        for address, route in index.routes.items():
            known = self._built.get(address)
            unchanged = known is not None and known[0] == route
            built[address] = known if known and unchanged else (route, list(clusters_of(route, self._sockets)))
        self._built = built
        return {cluster.name: (cluster, assignment) for _, pairs in built.values() for cluster, assignment in pairs}

    def _put(self, clusters: dict[str, tuple[Resource, Resource]]) -> None:
        for name, resources in clusters.items():
            timer = self._removals.pop(name, None)
            if timer:
                timer.cancel()
            self._store.put(resources)

    def _forget_refused(self, clusters: dict[str, tuple[Resource, Resource]]) -> None:
        """Withdraw at once what Envoy refused of earlier tables: it would wait in vain for Envoy to take it."""
        for refusal in self._store.refusals:
            if refusal.type_url != ROUTE and refusal.name not in clusters:
                self._remove(refusal.name)

    def _retire(self, index: RouteIndex, clusters: dict[str, tuple[Resource, Resource]]) -> None:
        for name in self._leftovers(clusters):
            route = index.find(name.address)
            self._store.put(pair(name, primary(route) if route else None, self._sockets))
            if str(name) not in self._removals:
                linger_s = max(LINGER_S, route.hold.seconds if route else 0)
                self._removals[str(name)] = asyncio.get_running_loop().call_later(linger_s, self._remove, str(name))

    def _leftovers(self, clusters: dict[str, tuple[Resource, Resource]]) -> Iterator[ClusterName]:
        for text in sorted(self._store.names(CLUSTER) - clusters.keys()):
            name = ClusterName.parse(text)
            if name:
                yield name

    def _remove(self, name: str) -> None:
        timer = self._removals.pop(name, None)
        if timer:
            timer.cancel()
        self._store.remove_clusters([name])

    async def _accepted(self, *, by_someone: bool = False) -> None:
        while not (self._store.accepted and (self._store.connected or not by_someone)):
            self._progress.clear()
            await self._progress.wait()

    async def _unaccepted(self) -> None:
        """Wait until an Envoy has something to answer again: a new one has come, or all are gone."""
        while self._store.accepted and self._store.connected:
            self._progress.clear()
            await self._progress.wait()
