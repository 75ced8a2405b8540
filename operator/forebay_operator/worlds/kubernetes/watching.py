"""kopf as a watcher: its settings, and a supervisor, because its task can end while ours must not."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import kopf

from forebay_operator.manifests.kinds import WATCHED
from forebay_schema.logs import Logger

_RESTART_S: Final = 1.0
_STOP_S: Final = 5.0
_log: Final = Logger("forebay.watching")


class Backoffs:
    """Pauses between attempts: without an end, so that an API server that is away or refuses never ends kopf."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1.0), itertools.repeat(2.0))


class NoDiffBase(kopf.DiffBaseStorage):
    """kopf computes the essence of every event for its storage otherwise: half of what the start costs."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:  # noqa: ARG002 - kopf's signature
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's signature
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is stored."""


class NoProgress(kopf.ProgressStorage):
    """Events have no progress to be kept."""

    def fetch(self, *, key: Any, body: kopf.Body) -> Any:  # noqa: ARG002 - kopf's signature
        return None

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing is stored."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing was stored."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Nothing is stored."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def settings() -> kopf.OperatorSettings:
    """kopf with nothing but its watches: no finalizers, annotations, peering, Events of its own."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.peering.standalone = True
    made.scanning.disabled = True
    made.persistence.diffbase_storage = NoDiffBase()
    made.persistence.progress_storage = NoProgress()
    made.queueing.idle_timeout = 0.05
    made.networking.error_backoffs = Backoffs()  # anything that can be iterated again will do
    made.networking.connect_timeout = made.watching.connect_timeout = 5
    made.networking.request_timeout = 60
    made.watching.server_timeout = 290
    made.watching.inactivity_timeout = 75
    made.watching.chunk_size = 500
    made.process.ultimate_exiting_timeout = None
    for kind in WATCHED:
        if kind.labels:
            made.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.labels
        if kind.fields:
            made.watching.field_selectors[kind.group, kind.version, kind.plural] = kind.fields
    return made


def quieten() -> None:
    """kopf logs a line for every event and every retry."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    logging.getLogger("kopf._cogs.clients").setLevel(logging.CRITICAL)
    for name in ("kopf._core", "kopf.activities"):
        logging.getLogger(name).setLevel(logging.WARNING)


class Watcher:
    """Keeps kopf running, and starts it anew when it ended or is said to be blind."""

    def __init__(
        self, registry: Callable[[], kopf.OperatorRegistry], namespaces: Collection[str], spawned: Callable[[], None]
    ) -> None:
        """`namespaces`: those to watch; empty: all. `spawned`: called after each start of kopf, which takes over signals."""
        self._registry = registry
        self._spawned = spawned
        self._namespaces = tuple(namespaces)
        self._restart = asyncio.Event()
        self.restarts = 0

    def restart(self) -> None:
        """Start kopf anew: it misses events, or history went backwards."""
        self._restart.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._restart.clear()
            await self._watch()
            self.restarts += 1
            await asyncio.sleep(_RESTART_S)

    async def _watch(self) -> None:
        stop = asyncio.Event()
        task = asyncio.ensure_future(self._run_kopf(stop))
        wish = asyncio.ensure_future(self._restart.wait())
        try:
            await asyncio.wait([task, wish], return_when=asyncio.FIRST_COMPLETED)
            _log.warning("watching starts anew", reason=_reason(task))
        finally:
            wish.cancel()
            stop.set()
            await _ended(task)

    async def _run_kopf(self, stop: asyncio.Event) -> None:
        before = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=settings(),
            standalone=True,
            stop_flag=stop,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        self._spawned()
        await kopf.run_tasks(tasks, ignored=before)


async def _ended(task: "asyncio.Future[None]") -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STOP_S):
            await asyncio.wait([task])
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _reason(task: "asyncio.Future[None]") -> str:
    if not task.done():
        return "asked to"
    if task.cancelled():
        return "kopf was cancelled"
    error = task.exception()
    return f"kopf ended: {type(error).__name__}: {error}" if error else "kopf ended"
