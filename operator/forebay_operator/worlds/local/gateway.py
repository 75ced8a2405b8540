"""The gateway: one process, replaced when it ends; told its routes by a file, heard through its stream of demand."""

import asyncio
import contextlib
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp

from forebay_operator.domain.routes import Route, table_of
from forebay_operator.domain.snapshot import GatewayDemand
from forebay_operator.worlds.demand import DemandSeen
from forebay_operator.worlds.local.demand_stream import read_demand
from forebay_operator.worlds.local.lasting import keep_going
from forebay_operator.worlds.local.leftovers import Group
from forebay_operator.worlds.local.ports import HOST
from forebay_operator.worlds.local.processes import Command, Process
from forebay_operator.worlds.local.route_documents import route_table
from forebay_operator.worlds.local.state import read_json, replace_text
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import DemandLine
from forebay_schema.documents import DocumentError

SILENCE_S: Final = 5.0
"""After this long without a line, demand is unknown."""
END_AFTER_S: Final = 30.0
"""After this long it is ended, so that another one takes its place: it hangs."""
_LOOK_S: Final = 0.5
_POLL_S: Final = 0.05
_TABLES_KEPT: Final = 64
_FIRST_BACKOFF_S: Final = 0.1
_MOST_BACKOFF_S: Final = 5.0
_STEADY_S: Final = 30.0
DRAIN_S: Final = 30.0
"""What it may take to answer what it was asked before it ends."""
_STOP_GRACE_S: Final = 15.0
"""For everything else at its end."""


class Gateway:
    """Keeps a gateway running."""

    def __init__(
        self,
        around: Surroundings,
        http_port: int,
        grpc_port: int,
        hold_seconds: float,
        end_after_s: float = END_AFTER_S,
    ) -> None:
        self.http_port = http_port
        self.grpc_port = grpc_port
        self.routes: tuple[Route, ...] = ()
        self.more_routes: tuple[Route, ...] = ()
        self.ready = asyncio.Event()
        self._around = around
        self._hold_seconds = hold_seconds
        self._end_after_s = end_after_s
        self._written: OrderedDict[str, tuple[Route, ...]] = OrderedDict()
        self._followed: tuple[Route, ...] = ()
        """The routes that were acknowledged last, for models whose newer ones are refused."""
        self._seen = DemandSeen()
        self._heard_at: float | None = None
        self._envoy_read: tuple[int, int] | None = None
        self._process: Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.set_routes(())

    def open(self) -> None:
        """Start it with the routes that are set by now."""
        tell = self._around.tell
        self._tasks = [
            asyncio.ensure_future(keep_going("gateway", self._supervise, tell)),
            asyncio.ensure_future(keep_going("demand", self._listen, tell)),
        ]

    def set_routes(self, routes: tuple[Route, ...]) -> None:
        """Take the control step's routes into the route table.

        Raises:
            OSError: it cannot be written; the routes of before stay, so that the step orders these again.
        """
        before, self.routes = self.routes, routes
        try:
            self._write()
        except OSError:
            self.routes = before
            raise

    def set_more_routes(self, routes: tuple[Route, ...]) -> None:
        """Take routes into the table that the control step does not know; where both name a model, the step's is meant."""
        self.more_routes = routes
        self._write()

    def demand(self) -> Mapping[ModelAddress, GatewayDemand] | None:
        """What clients want; None: the gateway has been silent."""
        if self._heard_at is None or self._around.clock.now() - self._heard_at > SILENCE_S:
            return None
        return self._seen.demand

    def acknowledged(self) -> tuple[Route, ...] | None:
        """The newest routes that Envoy has. They stay in force while the gateway is away."""
        routes = self._written.get(self._seen.routes)
        if routes is None or not self._seen.refused:
            return routes
        followed = [route for route in routes if route.address not in self._seen.refused]
        return table_of([*followed, *(route for route in self._followed if route.address in self._seen.refused)])

    async def drain(self) -> None:
        """Have it take no new connections, answer what it was asked, and end, with its Envoy. Its demand is heard meanwhile,
        so that what waits for a replica may still get one. When this is cancelled, it is ended at once."""
        if not self._tasks:
            return
        supervising, _ = self._tasks
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)
        if self._process:
            # One that is silent answers nobody.
            await self._process.stop(_STOP_GRACE_S + (DRAIN_S if self.demand() is not None else 0.0))

    async def close(self) -> None:
        """End the gateway and its Envoy, soon."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process:
            await self._process.stop(_STOP_GRACE_S)

    async def _supervise(self) -> None:
        backoff = _FIRST_BACKOFF_S
        while True:
            started = self._around.clock.now()
            # One that runs was started before something else failed here.
            if self._process is None or not self._process.running:
                self._process = self._around.host.start(self._command())
            await self._follow(self._process, started)
            steady = self._around.clock.now() - started > _STEADY_S
            backoff = _FIRST_BACKOFF_S if steady else min(_MOST_BACKOFF_S, 2 * backoff)
            self._around.tell("gateway", f"{self._process.how_it_ended()}; another one takes its place")
            await asyncio.sleep(backoff)

    async def _follow(self, process: Process, started: float) -> None:
        """Return at its end, which is brought about if it hangs. Envoy serves on meanwhile."""
        silent_s = 0.0
        while process.running:
            is_ready = self._file("gateway-ready.json").exists()
            if is_ready:
                self.ready.set()
            pause_s = _LOOK_S if is_ready else _POLL_S
            await asyncio.wait([process.ended], timeout=pause_s)
            # Counted by looks: time in which this process itself was stopped says nothing of the gateway. How long it may
            # take to start, nobody knows.
            has_spoken = self._heard_at is not None and self._heard_at > started
            silent_s = silent_s + pause_s if has_spoken and self.demand() is None else 0.0
            if process.running and silent_s > self._end_after_s - SILENCE_S:
                self._around.tell("gateway", f"has not answered for {SILENCE_S + silent_s:.0f} s and is ended")
                process.kill()
                await asyncio.wait([process.ended])

    async def _listen(self) -> None:
        """Read the stream of demand, again and again."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                await read_demand(self._file("gateway.sock"), SILENCE_S, self.hear)
            await asyncio.sleep(_FIRST_BACKOFF_S)

    def hear(self, line: bytes) -> None:
        """Take a line of the stream of demand into account."""
        try:
            seen = self._seen.after(DemandLine.from_json(line)).among(self._addresses())
        except DocumentError:
            return
        urgent = seen.newly_held(self._seen) or (seen.routes, seen.refused) != (self._seen.routes, self._seen.refused)
        self._followed = self.acknowledged() or self._followed
        self._seen, self._heard_at = seen, self._around.clock.now()
        self._record_envoy()
        if urgent:
            self._around.changed()

    def _addresses(self) -> set[ModelAddress]:
        return {route.address for route in (*self.routes, *self.more_routes)}

    def _record_envoy(self) -> None:
        """Envoy outlives the gateway process: the reaper has to know it as well."""
        path = self._file("envoy") / "envoy-process.json"
        version = _version(path)
        if version is None or version == self._envoy_read:
            return
        said = read_json(path) or {}
        if group := Group.parse(f"{said.get('pid')} {said.get('started')}"):
            self._around.host.record(group)
        self._envoy_read = version

    def _write(self) -> None:
        known = {route.address for route in self.routes}
        more = [route for route in self.more_routes if route.address not in known]
        table = route_table(sorted([*self.routes, *more], key=lambda route: route.address), self._hold_seconds)
        self._written[table.digest()] = self.routes
        if len(self._written) > _TABLES_KEPT:
            self._written.popitem(last=False)
        replace_text(self._file("routes.json"), table.to_json())

    def _command(self) -> Command:
        self._file("gateway-ready.json").unlink(missing_ok=True)
        self._file("gateway.sock").unlink(missing_ok=True)
        return Command(
            name="gateway",
            arguments=[
                *(sys.executable, "-m", "forebay_gateway"),
                *("--routes", str(self._file("routes.json")), "--run-dir", str(self._file("envoy"))),
                *("--http-address", HOST, "--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port)),
                *("--control-socket", str(self._file("gateway.sock"))),
                *("--ready-file", str(self._file("gateway-ready.json"))),
                *("--drain-seconds", f"{DRAIN_S:g}", "--refuse-while-draining"),
            ],
            log=self._around.folder.logs / "gateway.log",
            environment={},
        )

    def _file(self, name: str) -> Path:
        return self._around.run / name


def _version(path: Path) -> tuple[int, int] | None:
    """Tells one content of a file that is replaced whole from another; None: there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
