"""Brings a route table into Envoy in an order in which no request ever finds a gap.

1. New and changed clusters with their endpoints; a model's version switches here, at once.
2. When Envoy has them, the route (it changes only with a rollout).
3. When Envoy has that, clusters no longer routed to follow their model's present version, and stay a while: requests that are
   in them may still need a retry.

Where Envoy refuses anything of a model, that model goes back to what it was before; the others go on.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from forebay_gateway.routing import NO_ROUTES, RouteIndex, primary
from forebay_gateway.settings import Sockets
from forebay_gateway.xds.built import Built, Pair
from forebay_gateway.xds.messages import CLUSTER, ROUTE
from forebay_gateway.xds.names import ClusterName
from forebay_gateway.xds.resources import pair
from forebay_gateway.xds.standing import Standing
from forebay_gateway.xds.store import ResourceStore
from forebay_schema.addresses import ModelAddress

LINGER_S: Final = 60.0
"""How long a cluster outlives its use at least, or as long as a request may be held."""


class Publisher:
    """Publishes one table after the other; of those that come while one is on its way, only the newest."""

    def __init__(self, store: ResourceStore, sockets: Sockets, published: Callable[[RouteIndex], None]) -> None:
        """`published` is called when connected Envoys have all of a table, and again when a new Envoy has.

        What it is called with has, for models of which Envoy refuses something, what is served instead, and the reason.
        """
        self._store = store
        self._sockets = sockets
        self._published = published
        self._standing = Standing()
        self._built = Built(sockets)
        self._newest = self._done = NO_ROUTES
        self._task: asyncio.Task[None] | None = None
        self._removals: dict[str, asyncio.TimerHandle] = {}
        self._progress = asyncio.Event()
        store.listeners.append(self._progress.set)

    def publish(self, index: RouteIndex) -> None:
        self._newest = index
        self._progress.set()
        if not self._store.connected:
            # Complete before an Envoy can ask.
            self._put(self._built.follow(self._standing.of(index)))
            self._store.put([self._built.route()])
        self._task = self._task or asyncio.create_task(self._run())

    def close(self) -> None:
        if self._task:
            self._task.cancel()
        for timer in self._removals.values():
            timer.cancel()

    async def _run(self) -> None:
        while True:
            await self._bring(self._newest)
            while self._newest is self._done and self._has_all and not self._refused(self._done):
                await self._progressed()

    async def _bring(self, index: RouteIndex) -> None:
        """Publish a table, or come to where that must be begun anew: there is a newer one, or Envoy refuses something."""
        present = self._standing.of(index)
        served = self._standing.served
        if present.routes is not served.routes or present.surging != served.surging or not self._has_all:
            self._put(self._built.follow(present))
            if await self._is_refused(index):
                return
            self._store.put([self._built.route()])
            if await self._is_refused(index):
                return
            self._retire(present)
            if await self._is_refused(index):
                return
        while not self._has_all:
            if self._newest is not index:
                return
            await self._progressed()
        if await self._is_refused(index):
            return
        self._done, self._standing.served = index, present
        self._published(present)

    @property
    def _has_all(self) -> bool:
        """Whether there are Envoys, and all have answered everything."""
        return self._store.connected and self._store.delivered

    async def _progressed(self) -> None:
        self._progress.clear()
        await self._progress.wait()

    async def _is_refused(self, index: RouteIndex) -> bool:
        """Wait for Envoy's answers; whether something else must be tried."""
        while not self._store.delivered:
            await self._progressed()
        refused = self._refused(index)
        return bool(refused) and self._standing.give_way(index, refused)

    def _refused(self, index: RouteIndex) -> Mapping[ModelAddress, str]:
        """The models of which Envoy refuses something, and why. What is no model's any more is withdrawn."""
        reasons: dict[ModelAddress, str] = {}
        for refusal in self._store.refusals:
            name = ClusterName.parse(refusal.name)
            if refusal.type_url == ROUTE:
                reasons |= dict.fromkeys(self._standing.changed_rollouts(self._standing.of(index)), refusal.reason)
            elif name and name.address in self._built:
                reasons[name.address] = refusal.reason
            else:
                self._remove(refusal.name)
        return reasons

    def _put(self, pairs: Iterable[Pair]) -> None:
        for resources in pairs:
            timer = self._removals.pop(resources[0].name, None)
            if timer:
                timer.cancel()
            self._store.put(resources)

    def _retire(self, index: RouteIndex) -> None:
        for name in self._leftovers():
            route = index.find(name.address)
            self._store.put(pair(name, primary(route) if route else None, self._sockets))
            if str(name) not in self._removals:
                linger_s = max(LINGER_S, route.hold.seconds if route else 0)
                self._removals[str(name)] = asyncio.get_running_loop().call_later(linger_s, self._remove, str(name))

    def _leftovers(self) -> Iterator[ClusterName]:
        for text in sorted(self._store.names(CLUSTER) - self._built.clusters.keys()):
            name = ClusterName.parse(text)
            if name:
                yield name

    def _remove(self, name: str) -> None:
        timer = self._removals.pop(name, None)
        if timer:
            timer.cancel()
        self._store.remove_clusters([name])
