"""One server: a runtime process that owns one device, watched over its two pages, given its orders over HTTP."""

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.routes import Endpoint
from forebay_operator.domain.snapshot import Pool, Server, ServerPhase
from forebay_operator.worlds.local.devices import Device
from forebay_operator.worlds.local.processes import Process
from forebay_operator.worlds.local.state import read_json
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_operator.worlds.orders import Contact, Orders
from forebay_operator.worlds.server_pages import LOST_AFTER_S, PageReader, structure_of
from forebay_schema.headers import REPOSITORY_TOKEN

HOST: Final = "127.0.0.1"
LOOK_S: Final = 0.5
END_AFTER_S: Final = 30.0
"""Silence after which it is ended, so that its device gets another server."""
STOP_GRACE_S: Final = 5.0
"""What it may take to end when it has nothing to answer any more."""
DRAIN_S: Final = 90.0
"""What a server may take to answer what is in it before it ends; longer than any client waits."""
_PAGE_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """What a server is to be."""

    name: str
    pool: Pool
    device: Device
    token: str
    start_timeout_s: float


class LocalServer:
    """A server from its start until its process is gone."""

    def __init__(self, plan: ServerPlan, process: Process, around: Surroundings, http: aiohttp.ClientSession) -> None:
        self.plan = plan
        self.process = process
        self.phase = ServerPhase.STARTING
        self.message = ""
        self.started_at = around.clock.now()
        self.ready_at: float | None = None
        self._around = around
        self._http = http
        self._ports: Mapping[str, int] = {}
        self._heard_at = self.started_at
        self._reader = PageReader()
        self._structure = structure_of(())
        self._draining: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._orders = Orders(Contact(http=http, token=plan.token, now=around.clock.now, done=self._order_was_answered))
        process.ended.add_done_callback(lambda _: self._look.set())
        self.watch = asyncio.ensure_future(self._watch())

    def seen(self) -> Server:
        """The server as the step sees it."""
        answered = bool(self._ports)
        return Server(
            name=self.plan.name,
            pool=self.plan.pool,
            phase=self.phase,
            started_at=self.started_at,
            endpoint=Endpoint(HOST, self._ports["http"], self._ports["grpc"]) if answered else None,
            holdings=self._orders.holdings(),
            observed_at=self._heard_at if answered else None,
            message=self.message,
        )

    def load(self, action: LoadReplica, artifact: str) -> None:
        if self._ports:
            self._orders.load(self._address("http"), action, artifact)

    def unload(self, action: UnloadReplica) -> None:
        if self._ports:
            self._orders.unload(self._address("http"), action)

    def drain(self) -> None:
        """Have it finish what it has and end."""
        if self.phase is not ServerPhase.DRAINING:
            self.phase = ServerPhase.DRAINING
            self._draining = asyncio.ensure_future(self.process.stop(DRAIN_S))

    async def stop(self, grace_s: float) -> None:
        """End it within the grace."""
        self.phase = ServerPhase.DRAINING
        await self.process.stop(grace_s)
        await self.watch

    async def _watch(self) -> None:
        """Follow the process until it has ended. Never raises."""
        try:
            await self._wait_until_it_listens()
            while self.process.running:
                await self._read_pages()
                self._judge_silence()
                await self._pause()
        finally:
            self._orders.close()
            if self._draining:
                self._draining.cancel()
            await asyncio.to_thread(shutil.rmtree, scratch_of(self._around, self.plan.name), ignore_errors=True)
            self._around.changed()

    async def _wait_until_it_listens(self) -> None:
        ready_file = ready_file_of(self._around, self.plan.name)
        deadline = self.started_at + self.plan.start_timeout_s
        while self.process.running and not self._ports:
            await asyncio.wait([self.process.ended], timeout=0.05)
            if said := read_json(ready_file):
                self._ports = {name: int(said[name]) for name in ("http", "grpc", "metrics")}
            elif self._around.clock.now() > deadline:
                self._lose(f"it did not listen within {self.plan.start_timeout_s:.0f} s and is ended")
                self.process.kill()

    async def _read_pages(self) -> None:
        try:
            reading = self._reader.read(await self._index(), await self._metrics())
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return
        self._heard_at = self._around.clock.now()
        self._orders.pages_show(reading.holdings)
        before, self._structure = self._structure, structure_of(reading.holdings)
        if self.phase in (ServerPhase.STARTING, ServerPhase.LOST):
            self.phase, self.message = ServerPhase.READY, ""
            self.ready_at = self.ready_at or self._heard_at
            self._around.changed()
        elif before != self._structure:
            self._around.changed()

    def _judge_silence(self) -> None:
        silent = self._around.clock.now() - self._heard_at
        if silent > LOST_AFTER_S and self.phase is ServerPhase.READY:
            self._lose(f"it has not answered for {silent:.0f} s")
        if silent > END_AFTER_S and self.phase is ServerPhase.LOST:
            self.message = f"it has not answered for {silent:.0f} s and is ended"
            self.process.kill()

    def _lose(self, why: str) -> None:
        self.phase, self.message = ServerPhase.LOST, why
        self._around.tell(self.plan.name, f"is lost: {why}")
        self._around.changed()

    async def _pause(self) -> None:
        """Until the next look: at once after an order was carried out or the process has ended, else half a second."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._look.wait(), LOOK_S)
        self._look.clear()

    def _order_was_answered(self) -> None:
        self._look.set()
        self._around.changed()

    async def _index(self) -> bytes:
        url = f"http://{self._address('http')}/v2/repository/index"
        headers = {REPOSITORY_TOKEN: self.plan.token}
        async with self._http.post(url, json={}, headers=headers, timeout=_PAGE_TIMEOUT) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def _metrics(self) -> bytes:
        async with self._http.get(f"http://{self._address('metrics')}/metrics", timeout=_PAGE_TIMEOUT) as answer:
            answer.raise_for_status()
            return await answer.read()

    def _address(self, port: str) -> str:
        return f"{HOST}:{self._ports[port]}"


def server_arguments(plan: ServerPlan, around: Surroundings) -> list[str]:
    """The command line of a server that is told what to hold, without the program."""
    token = ("--repository-token-file", str(token_file_of(around)))
    return ["--model-control-mode", "explicit", *token, *serving_arguments(plan, around)]


def serving_arguments(plan: ServerPlan, around: Surroundings) -> list[str]:
    """The part of a server's command line that says where and on what it serves."""
    return [
        *("--http-address", HOST, "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"),
        *("--device", plan.device.argument, "--device-memory", str(plan.device.device.memory_bytes)),
        *("--scratch", str(scratch_of(around, plan.name))),
        *("--ready-file", str(ready_file_of(around, plan.name))),
    ]


def scratch_of(around: Surroundings, name: str) -> Path:
    return around.folder.scratch / "servers" / name


def ready_file_of(around: Surroundings, name: str) -> Path:
    return around.run / f"{name}.json"


def token_file_of(around: Surroundings) -> Path:
    return around.run / "repository-token"
