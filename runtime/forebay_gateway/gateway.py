"""The parts of the gateway, put together."""

import asyncio
import json
import os
import resource
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from forebay_gateway import atomicfile, control, metrics
from forebay_gateway.control import Control, Page
from forebay_gateway.demand import STATISTICS_PATH, Ledger, attempts_of, codes_of
from forebay_gateway.envoy import admin
from forebay_gateway.envoy.draining import drain, finish, within
from forebay_gateway.envoy.supervisor import Supervisor
from forebay_gateway.figures import ProcessFigures, families_of_models, families_of_process
from forebay_gateway.holder.connections import Departures, serve_grpc, serve_http
from forebay_gateway.holder.holder import Holder
from forebay_gateway.holder.queue import MOST_REQUESTS
from forebay_gateway.holder.surges import LEAST
from forebay_gateway.routing import NO_ROUTES, RouteIndex
from forebay_gateway.rundir import lock, private_folder, unlink_stale
from forebay_gateway.settings import Settings, check_socket_path, sockets_for, split_address
from forebay_gateway.ticker import Ticker
from forebay_gateway.xds import server as xds_server
from forebay_gateway.xds.loads import loads_of
from forebay_gateway.xds.publisher import Publisher
from forebay_gateway.xds.store import ResourceStore
from forebay_schema.demand import DemandLine, RefusedRoute
from forebay_schema.logs import Logger
from forebay_schema.network import authority

_log: Final = Logger(__name__)

_REPORT_S: Final = 1.0
_REPORT_WHILE_LETTING_GO_S: Final = 0.1
_REPORT_WHILE_BUSY_S: Final = 0.25
_COUNT_S: Final = 1.0
_FAREWELL_S: Final = 0.05
_LONGEST_REASON: Final = 300
_LAST_WORDS_S: Final = 5.0
"""For refusals to reach clients that waited until the end, and answers those that came at the last moment."""


def _most_held() -> int:
    """A held HTTP/1.1 request takes a descriptor of ours and two of Envoy's, which has as many as we."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST_REQUESTS, max(1, descriptors // 3))


class RouteSource(Protocol):
    """Where route tables come from."""

    @property
    def complaint(self) -> str:
        """Why the last table may be old, empty if it is not."""
        ...

    async def follow(self, take: Callable[[RouteIndex], None]) -> None:
        """Hand out each table, from the first on, until cancelled."""
        ...


class Stop:
    """That the process was asked to end; asked twice, at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def ask(self) -> None:
        (self.hurried if self.asked.is_set() else self.asked).set()


class Gateway:
    def __init__(self, settings: Settings, source: RouteSource) -> None:
        """Build all parts; nothing runs yet. Needs a running event loop."""
        self._settings = settings
        self._identity = uuid.uuid4().hex
        self._sockets = sockets_for(settings.run_dir.absolute(), Path(tempfile.gettempdir()))
        self._ledger = Ledger()
        self._ticker = Ticker(self._demand_line)
        self._holder = Holder(time.monotonic, time.time, self._ticker.hurry, _most_held())
        self._store = ResourceStore()
        self._discovery = xds_server.Discovery(self._store)
        self._loads = xds_server.LoadReports(self._on_report)
        self._publisher = Publisher(self._store, self._sockets, self._on_published)
        self._source = source
        self._supervisor = Supervisor(settings, self._sockets, self._on_envoy_started, self._on_envoy_ready)
        self._newest = self._acknowledged = NO_ROUTES
        self._control = Control(self._page)
        self._control_address = ""
        self._is_draining = False
        self._codes: Mapping[tuple[str, str], int] = {}

    async def run(self, stop: Stop) -> None:
        """Serve until asked to end, then until the requests that are there are answered.

        Raises:
            SettingsError: it cannot be served with these settings.
        """
        async with AsyncExitStack() as stack:
            self._prepare_folders(stack)
            unlink_stale(self._settings.control_socket)
            self._control_address = await stack.enter_async_context(self._open_control())
            stack.callback(self._remove_sockets)
            await self._take_over()
            stack.push_async_callback(self._supervisor.stop)
            async with asyncio.TaskGroup() as tasks:
                work = [tasks.create_task(job) for job in (self._serve(), self._ticker.run(), self._count_arrivals())]
                await stop.asked.wait()
                await self._drain(stop.hurried)
                for task in work:
                    task.cancel()

    def _open_control(self) -> AbstractAsyncContextManager[str]:
        address = self._settings.control_address
        return self._control.serving(self._settings.control_socket, split_address(address) if address else None)

    async def _drain(self, hurried: asyncio.Event) -> None:
        """Take no more than must be, and wait for what is there; what waits for a replica then is refused."""
        self._is_draining = True
        if self._settings.keep_envoy:
            return
        _log.info("asked to end", drain_s=self._settings.drain_seconds)
        socket, pid, refuse = self._sockets.admin, self._supervisor.pid, self._settings.refuse_while_draining

        def lives() -> bool:
            return pid is not None and self._supervisor.pid == pid

        await within(self._settings.drain_seconds, drain(socket, lives, refuse=refuse), hurried)
        if self._holder.refuse_all() or not hurried.is_set():
            await within(_LAST_WORDS_S, finish(socket, lives), asyncio.Event())

    async def _take_over(self) -> None:
        await self._supervisor.take_over()
        # What a living Envoy has counted before our time is not ours.
        with suppress(admin.AdminError):
            self._ledger.start_with(attempts_of(await self._read_statistics()))

    def _remove_sockets(self) -> None:
        if self._settings.keep_envoy:
            return
        for socket in (*self._sockets.ours, self._sockets.admin, self._settings.control_socket):
            socket.unlink(missing_ok=True)
        if self._sockets.folder != self._settings.run_dir.absolute():
            with suppress(OSError):
                self._sockets.folder.rmdir()

    def _prepare_folders(self, stack: AsyncExitStack) -> None:
        check_socket_path(self._settings.control_socket)
        private_folder(self._settings.run_dir)
        private_folder(self._sockets.folder)
        stack.enter_context(lock(self._settings.run_dir / "lock"))

    async def _serve(self) -> None:
        complete = asyncio.Event()

        def take(index: RouteIndex) -> None:
            self._follow(index)
            complete.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._source.follow(take))
            # Before Envoy can ask: it would drop what it does not find.
            await complete.wait()
            async with AsyncExitStack() as stack:
                await self._open_sockets(stack)
                await self._supervisor.run()

    async def _open_sockets(self, stack: AsyncExitStack) -> None:
        departures = Departures(asyncio.get_running_loop())
        stack.callback(departures.close)
        stack.callback(self._publisher.close)
        stack.push_async_callback(self._give_back)
        for socket in self._sockets.ours:
            unlink_stale(socket)
        servers = await serve_http(self._holder, departures, self._sockets) + await serve_grpc(self._holder, self._sockets)
        for server in servers:
            stack.callback(server.close)
        xds = await xds_server.serve(self._discovery, self._loads, self._sockets.xds)
        stack.push_async_callback(xds.stop, None)

    async def _give_back(self) -> None:
        """Held requests go back to Envoy, which tries again for a second or two: our successor may be there by then."""
        self._holder.let_all_go()
        await asyncio.sleep(_FAREWELL_S)

    def _follow(self, index: RouteIndex) -> None:
        self._newest = index
        self._holder.follow(index)
        self._ledger.keep(index.routes.keys())
        self._publish()

    def _publish(self) -> None:
        self._publisher.publish(replace(self._newest, surging=self._holder.surging))

    def _on_published(self, index: RouteIndex) -> None:
        """Envoy has accepted all of a table."""
        self._holder.acknowledge(index)
        self._tell_unusable(index)
        before, self._acknowledged = self._acknowledged, index
        # How far routes were followed can wait a second, if no route is another one.
        if index.routes is not before.routes:
            self._ticker.hurry()
        self._pace_reports()

    def _tell_unusable(self, index: RouteIndex) -> None:
        for address, reason in index.unusable.items():
            if self._acknowledged.unusable.get(address) != reason:
                _log.error("a model's newest route cannot be followed", model=str(address), reason=reason)

    def _on_envoy_started(self) -> None:
        self._ledger.start_with({})

    def _on_envoy_ready(self, pid: int) -> None:
        address, settings = self._settings.http_address, self._settings
        ready: dict[str, object] = {
            "pid": os.getpid(),
            "envoy_pid": pid,
            "http": authority(address, settings.http_port),
            "grpc": authority(address, settings.grpc_port),
            "control": self._control_address,
        }
        _log.info("serving", **ready)
        if settings.ready_file:
            atomicfile.write(settings.ready_file, json.dumps(ready))

    def _on_report(self, report: Any) -> None:
        loads = loads_of(report)
        self._ledger.take_in_flight({address: load.in_flight for address, load in loads.items()})
        if self._settings.hold_surges and self._holder.take_loads(loads):
            self._publish()
        self._holder.take_reports(self._ledger.in_flight)
        self._pace_reports()

    async def _count_arrivals(self) -> None:
        while True:
            await asyncio.sleep(_COUNT_S)
            # Envoy may be away: a new one is coming, and its counters begin with zero.
            with suppress(admin.AdminError):
                statistics = await self._read_statistics()
                self._ledger.take_attempts(attempts_of(statistics), self._holder.counts.first)
                self._codes = codes_of(statistics)

    async def _read_statistics(self) -> Mapping[str, int]:
        return admin.parse_statistics(await admin.get(self._sockets.admin, STATISTICS_PATH))

    def _pace_reports(self) -> None:
        calm_s = _REPORT_S
        if self._settings.hold_surges and any(number >= LEAST for number in self._ledger.in_flight.values()):
            calm_s = _REPORT_WHILE_BUSY_S
        self._loads.set_interval(_REPORT_WHILE_LETTING_GO_S if self._holder.letting_go else calm_s)

    def _demand_line(self, sequence: int) -> DemandLine:
        held = {address: self._holder.held(address) for address in self._holder.addresses()}
        return DemandLine(
            gateway=self._identity,
            sequence=sequence,
            routes=self._acknowledged.mark if self._store.connected else "",
            models=self._ledger.demand(held, self._holder.counts.first),
            refused=tuple(
                RefusedRoute(namespace=address.namespace, name=address.name, reason=reason[:_LONGEST_REASON])
                for address, reason in sorted(self._acknowledged.unusable.items())
            ),
        )

    def _page(self, path: str) -> Page | AsyncIterator[str]:
        match path:
            case "/demand":
                return self._ticker.lines()
            case "/healthz":
                return self._health()
            case "/metrics":
                return Page(200, "text/plain; version=0.0.4", self._metrics())
            case _:
                return control.not_found(path)

    def _health(self) -> Page:
        if self._is_draining:
            return Page(503, "text/plain", "asked to end: what is there is answered, nothing new should come\n")
        if self._supervisor.is_ready:
            return Page(200, "text/plain", "ok\n")
        return Page(503, "text/plain", f"{self._source.complaint or 'Envoy is not ready yet'}\n")

    def _metrics(self) -> str:
        figures = ProcessFigures(
            answers=self._codes,
            envoy_starts=self._supervisor.starts,
            refused_configurations=self._discovery.refused,
            refused_routes=len(self._acknowledged.unusable),
            are_routes_old=bool(self._source.complaint),
        )
        return metrics.render([*families_of_models(self._holder, self._ledger), *families_of_process(figures)])
