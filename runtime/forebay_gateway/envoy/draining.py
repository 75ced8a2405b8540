"""Ending without a failed request: Envoy tells its clients to go elsewhere, and what they have begun is waited for."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from forebay_gateway.envoy import admin

_LISTENERS: Final = ("http", "grpc")
_FIGURES: Final = ("downstream_rq_active", "downstream_cx_active", "downstream_rq_total")
_FILTER: Final = rf"^http\.({'|'.join(_LISTENERS)})\.({'|'.join(_FIGURES)})$"
_PATH: Final = f"/stats?filter={quote(_FILTER)}"
_LOOK_S: Final = 0.1
_QUIET_S: Final = 2.0
"""A client that keeps its connection is told to close it with its next answer; one that gets none for so long is idle."""


@dataclass(frozen=True, slots=True)
class Business:
    """What clients have with Envoy."""

    requests: int
    connections: int
    so_far: int
    """Requests that came since its start."""


async def drain(socket: Path) -> None:
    """Return once no request is there and clients are unlikely to send another; also when Envoy has gone."""
    try:
        # From now on each answer tells its client to close the connection. New connections are taken all the same: whoever
        # has not heard yet that this gateway ends would be refused otherwise.
        await admin.call(socket, "POST", "/healthcheck/fail")
        await _until_quiet(socket)
    except admin.AdminError:
        return


async def until_idle(socket: Path) -> None:
    """Return once no request is there.

    Raises:
        AdminError: Envoy does not say.
    """
    # Another process's state: there is no event to wait for.
    while (await business(socket)).requests:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)


async def _until_quiet(socket: Path) -> None:
    before, since = await business(socket), time.monotonic()
    while True:
        now = await business(socket)
        if now.requests or now.so_far != before.so_far:
            before, since = now, time.monotonic()
        elif not now.connections or time.monotonic() - since >= _QUIET_S:
            return
        await asyncio.sleep(_LOOK_S)


async def business(socket: Path) -> Business:
    """What is going on in Envoy.

    Raises:
        AdminError: it does not say.
    """
    found = admin.parse_statistics(await admin.get(socket, _PATH))
    requests, connections, so_far = (
        sum(found.get(f"http.{listener}.{figure}", 0) for listener in _LISTENERS) for figure in _FIGURES
    )
    return Business(requests, connections, so_far)
