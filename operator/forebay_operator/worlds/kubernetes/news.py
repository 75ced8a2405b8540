"""Events: few, each told once, and never in the way of anything else."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from forebay_operator.manifests.event import News, Subject, event
from forebay_operator.manifests.kinds import EVENTS, Json
from forebay_operator.worlds.kubernetes.api_server import ApiServer, RefusedError, UnreachableError

_KEPT: Final = 4096
_AGAIN_S: Final = 3600.0
"""After which the same is told again: API servers keep Events for an hour, where they are not told otherwise."""
_MOST_WAITING: Final = 200


class Newsroom:
    """Tells people what happened to their objects."""

    def __init__(self, api: ApiServer, reporter: str, now: Callable[[], float]) -> None:
        """`reporter`: this process's name."""
        self._api = api
        self._reporter = reporter
        self._now = now
        self._told: OrderedDict[str, float] = OrderedDict()
        """When each was told last."""
        self._waiting: asyncio.Queue[Json] = asyncio.Queue(_MOST_WAITING)

    def tell(self, subject: Subject, news: News) -> None:
        """Tell, unless it was told lately. Where too much happens at once, the rest goes untold."""
        now = self._now()
        manifest = event(subject, news, self._reporter, now)
        name = manifest["metadata"]["name"]
        before = self._told.get(name)
        if (before is not None and now - before < _AGAIN_S) or self._waiting.full():
            return
        if before is not None:
            # The one before may still be there.
            manifest["metadata"]["name"] = f"{name}.{int(now // _AGAIN_S)}"
        self._told[name] = now
        self._told.move_to_end(name)
        if len(self._told) > _KEPT:
            self._told.popitem(last=False)
        self._waiting.put_nowait(manifest)

    async def run(self) -> None:
        """Write Events, one after the other, until cancelled."""
        while True:
            manifest = await self._waiting.get()
            try:
                await self._api.create(EVENTS.path(manifest["metadata"]["namespace"]), manifest)
            except (RefusedError, UnreachableError):
                # It was told before this operator started, its namespace is going, or it cannot be told: others matter more.
                continue
