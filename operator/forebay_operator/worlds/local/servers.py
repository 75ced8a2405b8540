"""All servers of this machine: at most one on each device, those that end unasked removed so that others take their place."""

import asyncio
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from forebay_operator.domain.actions import LoadReplica, ResizePool, UnloadReplica
from forebay_operator.domain.snapshot import Pool, Server, ServerPhase
from forebay_operator.worlds.local.devices import Device
from forebay_operator.worlds.local.processes import Command
from forebay_operator.worlds.local.server import STOP_GRACE_S, LocalServer, ServerPlan, server_arguments, token_file_of
from forebay_operator.worlds.local.surroundings import Surroundings

STEADY_S: Final = 30.0
"""A server that was ready for this long and ends is replaced at once; one that ends sooner, after a back-off."""
MOST_BACKOFF_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Crashes:
    """The servers that ended soon after their start, one after the other, on one device."""

    count: int
    blocked_until: float


class Servers:
    """Starts servers, drains them, and passes orders on."""

    def __init__(self, around: Surroundings, devices: Sequence[Device], start_timeout_s: float) -> None:
        self._around = around
        self._devices = devices
        self._start_timeout_s = start_timeout_s
        self._token = secrets.token_hex(16)
        self._on: dict[Device, LocalServer] = {}
        self._crashes: dict[Device, _Crashes] = {}
        self._http: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Call once the event loop runs."""
        path = token_file_of(self._around)
        path.touch(mode=0o600)
        path.write_text(self._token, encoding="utf-8")
        self._http = aiohttp.ClientSession()

    def seen(self) -> tuple[Server, ...]:
        """Every server that still has its device."""
        self._remove_ended()
        return tuple(sorted((server.seen() for server in self._on.values()), key=lambda server: server.name))

    def resize(self, action: ResizePool) -> None:
        """Start servers on free devices until there are enough, or drain the named ones while there are too many."""
        self._remove_ended()
        current = [server for server in self._on.values() if _counts(server, action.pool)]
        surplus = len(current) - action.servers
        victims = [server for server in current if server.plan.name in action.victims]
        for server in victims[: max(0, surplus)]:
            self._around.tell(server.plan.name, "is not needed any more and ends")
            server.drain()
        for device in self._free(action.pool)[: max(0, -surplus)]:
            self._start(action.pool, device)

    def load(self, action: LoadReplica, artifact: str) -> None:
        if server := self._by_name(action.server):
            server.load(action, artifact)

    def unload(self, action: UnloadReplica) -> None:
        if server := self._by_name(action.server):
            server.unload(action)

    async def close(self, grace_s: float = STOP_GRACE_S) -> None:
        """End all servers, each within the grace."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._on.values()))
        if self._http:
            await self._http.close()

    def _by_name(self, name: str) -> LocalServer | None:
        return next((server for server in self._on.values() if server.plan.name == name), None)

    def _free(self, pool: Pool) -> list[Device]:
        return [device for device in self._devices if device.device == pool.device and device not in self._on]

    def _start(self, pool: Pool, device: Device) -> None:
        name = f"{device.label}-{secrets.token_hex(3)}"
        plan = ServerPlan(name=name, pool=pool, device=device, token=self._token, start_timeout_s=self._start_timeout_s)
        command = Command(
            name=name,
            arguments=[sys.executable, "-m", "forebay_runtime", *server_arguments(plan, self._around)],
            log=self._around.folder.logs / f"server-{name}.log",
            environment=device.environment,
        )
        process = self._around.host.start(command)
        if self._http:
            self._on[device] = LocalServer(plan, process, self._around, self._http)

    def _remove_ended(self) -> None:
        for device, server in list(self._on.items()):
            if server.watch.done():
                self._after_end(device, server)

    def _after_end(self, device: Device, server: LocalServer) -> None:
        """Free the device, unless the server ended soon after its start: then only after a back-off, so that a person can
        read why, and nothing is started in a busy loop."""
        now = self._around.clock.now()
        if server.phase is ServerPhase.DRAINING:
            del self._on[device]
        elif server.phase is not ServerPhase.LOST or not server.message:
            self._mourn(device, server, now)
        elif now >= self._crashes.get(device, _Crashes(0, 0.0)).blocked_until:
            del self._on[device]

    def _mourn(self, device: Device, server: LocalServer, now: float) -> None:
        steady = server.ready_at is not None and now - server.ready_at > STEADY_S
        count = 0 if steady else self._crashes.get(device, _Crashes(0, 0.0)).count + 1
        wait = min(MOST_BACKOFF_S, 2.0 ** (count - 2)) if count > 1 else 0.0
        self._crashes[device] = _Crashes(count, now + wait)
        server.phase = ServerPhase.LOST
        server.message = server.process.how_it_ended()
        self._around.tell(server.plan.name, f"{server.message}; another one takes its place")
        if not wait:
            del self._on[device]


def _counts(server: LocalServer, pool: Pool) -> bool:
    return server.plan.pool == pool and server.phase in (ServerPhase.STARTING, ServerPhase.READY)
