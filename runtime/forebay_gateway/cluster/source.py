"""The route table of a cluster, put together from what is watched."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from forebay_gateway.cluster.access import Access, find_access
from forebay_gateway.cluster.deployments import Deployments
from forebay_gateway.cluster.keepsake import Keepsake
from forebay_gateway.cluster.watching import Watch
from forebay_gateway.routing import RouteIndex
from forebay_gateway.settings import ClusterScope
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import HoldLimits, Route

_GATHER_S: Final = 0.02
"""What comes within this time becomes one table."""
_WATCH_S: Final = 290
_SHARED_WATCH_S: Final = 8
"""How far all have come is what the least of several watches has been told, and that it is told before each end of one."""


class ClusterRoutes:
    """Follows the ModelDeployments in scope. While that fails, the last table stays."""

    def __init__(self, scope: ClusterScope, kept: Path, access: Callable[[], Access] = find_access) -> None:
        """`kept`: the file in which the last routes outlive this process."""
        namespaces = scope.namespaces or ("",)
        ends_after_s = _WATCH_S if len(namespaces) == 1 else _SHARED_WATCH_S
        hold = HoldLimits(seconds=scope.hold_seconds)
        self._scope = scope
        self._changed = asyncio.Event()
        self._keepsake = Keepsake(kept)
        before = self._keepsake.load()
        self._parts = [Deployments(hold, self._changed.set, _within(before, namespace)) for namespace in namespaces]
        self._watches = [
            Watch(access, namespace, part, ends_after_s) for namespace, part in zip(namespaces, self._parts, strict=True)
        ]
        self._merged: tuple[list[Mapping[ModelAddress, Route]], Mapping[ModelAddress, Route]] = ([], {})

    @property
    def complaint(self) -> str:
        """Why the routes may be old; empty if they are not."""
        return next((watch.complaint for watch in self._watches if watch.complaint), "")

    async def follow(self, take: Callable[[RouteIndex], None]) -> None:
        """Hand out each table, from the first on, until cancelled.

        The first is complete, but for namespaces that cannot be listed: of those it has what was kept.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keepsake.run())
            for watch in self._watches:
                tasks.create_task(watch.run())
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._is_known:
                    take(self._index())
                await asyncio.sleep(_GATHER_S)

    @property
    def _is_known(self) -> bool:
        """Whether there is something to serve by, and nothing more is to be had now."""
        tried = all(part.version or watch.is_hopeless for part, watch in zip(self._parts, self._watches, strict=True))
        return tried and any(part.version or part.routes for part in self._parts)

    def _index(self) -> RouteIndex:
        unusable = {address: why for part in self._parts for address, why in part.unusable.items()}
        version = min(part.version for part in self._parts)
        routes = self._routes()
        self._keepsake.keep(routes)
        return RouteIndex(self._scope.default_namespace, routes, str(version or ""), unusable=unusable)

    def _routes(self) -> Mapping[ModelAddress, Route]:
        """The same mapping as long as no route is another one."""
        sources = [part.routes for part in self._parts]
        known, merged = self._merged
        if [id(source) for source in known] != [id(source) for source in sources]:
            merged = {address: route for source in sources for address, route in source.items()}
            self._merged = (sources, merged)
        return merged


def _within(routes: Mapping[ModelAddress, Route], namespace: str) -> Mapping[ModelAddress, Route]:
    return {address: route for address, route in routes.items() if namespace in ("", address.namespace)}
