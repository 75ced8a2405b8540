"""Ending without a failed request: Envoy tells its clients to go elsewhere, and what they have begun is waited for."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from forebay_gateway.envoy import admin

_LISTENERS: Final = ("http", "grpc")
_FIGURES: Final = ("downstream_rq_active", "downstream_cx_active", "downstream_rq_total")
_FILTER: Final = rf"^http\.({'|'.join(_LISTENERS)})\.({'|'.join(_FIGURES)})$"
_PATH: Final = f"/stats?filter={quote(_FILTER)}"
_LISTEN_NO_MORE: Final = "/drain_listeners"
"""What comes over connections that are there is answered as ever."""
_LOOK_S: Final = 0.1
_QUIET_S: Final = 2.0
"""A client that keeps its connection is told to close it with its next answer; one that gets none for so long is idle."""

Lives = Callable[[], bool]
"""Whether the Envoy that is drained is still there. It may be slow to answer: that alone ends no draining."""


@dataclass(frozen=True, slots=True)
class Business:
    """What clients have with Envoy."""

    requests: int
    connections: int
    so_far: int
    """Requests that came since its start."""


async def drain(socket: Path, lives: Lives, *, refuse: bool) -> None:
    """Return once no request is there and clients are unlikely to send another; also when Envoy has gone.

    `refuse`: nobody else takes new connections, so none is taken. Otherwise they are: whoever has not heard yet that this
    gateway ends would be refused.
    """
    # First: clients that are told to close their connections would come again otherwise.
    if refuse:
        await _order(socket, _LISTEN_NO_MORE, lives)
    # From now on each answer tells its client to close the connection.
    await _order(socket, "/healthcheck/fail", lives)
    await _until_quiet(socket, lives)


async def finish(socket: Path, lives: Lives) -> None:
    """Take nothing more, and return once no request is there, or Envoy has gone."""
    await _order(socket, _LISTEN_NO_MORE, lives)
    while lives() and _is_busy(await _business(socket)):  # noqa: ASYNC110 - another process's state: there is no event
        await asyncio.sleep(_LOOK_S)


async def within(limit_s: float, work: Coroutine[Any, Any, None], hurried: asyncio.Event) -> None:
    """Do it, but no longer than this, nor once there is a hurry."""
    tasks = [asyncio.create_task(work), asyncio.create_task(_until(hurried))]
    try:
        await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def _is_busy(business: Business | None) -> bool:
    return business is None or business.requests > 0


async def _order(socket: Path, path: str, lives: Lives) -> None:
    while lives():
        with suppress(admin.AdminError):
            await admin.call(socket, "POST", path)
            return
        await asyncio.sleep(_LOOK_S)


async def _until_quiet(socket: Path, lives: Lives) -> None:
    so_far, since = -1, time.monotonic()
    while lives():
        now = await _business(socket)
        if now is None or now.requests or now.so_far != so_far:
            so_far, since = now.so_far if now else so_far, time.monotonic()
        elif not now.connections or time.monotonic() - since >= _QUIET_S:
            return
        await asyncio.sleep(_LOOK_S)


async def _business(socket: Path) -> Business | None:
    """What is going on in Envoy; None: it does not say."""
    try:
        found = admin.parse_statistics(await admin.get(socket, _PATH))
    except admin.AdminError:
        return None
    requests, connections, so_far = (
        sum(found.get(f"http.{listener}.{figure}", 0) for listener in _LISTENERS) for figure in _FIGURES
    )
    return Business(requests, connections, so_far)
