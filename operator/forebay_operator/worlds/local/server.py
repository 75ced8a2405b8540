"""One server: a runtime process that owns one device, watched over its two pages, given its orders over HTTP."""

import asyncio
import contextlib
import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.routes import Endpoint
from forebay_operator.domain.snapshot import Holding, HoldingPhase, Pool, Server, ServerPhase
from forebay_operator.worlds.local.devices import Device
from forebay_operator.worlds.local.processes import Process
from forebay_operator.worlds.local.server_pages import holdings_of, metrics_page
from forebay_operator.worlds.local.state import read_json
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_schema.headers import REPOSITORY_TOKEN
from forebay_schema.repository import IndexEntry, LoadOrder, UnloadOrder
from forebay_schema.serving import ServingConfig

HOST: Final = "127.0.0.1"
LOOK_S: Final = 0.5
LOST_AFTER_S: Final = 10.0
"""Silence after which a server counts as lost. Generous: its event loop may wait for a busy machine; a process that ended is
noticed at once."""
END_AFTER_S: Final = 30.0
"""Silence after which it is ended, so that its device gets another server."""
DRAIN_S: Final = 90.0
"""What a server may take to answer what is in it before it ends; longer than any client waits."""
_PAGE_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_ORDER_TIMEOUT: Final = aiohttp.ClientTimeout(total=900)

Key = tuple[str, int]
"""A model's name and a version of it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A load that did not succeed."""

    at: float
    reason: str


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
        self._holdings: tuple[Holding, ...] = ()
        self._loading: dict[Key, LoadReplica] = {}
        self._unloading: set[Key] = set()
        self._failures: dict[Key, Failure] = {}
        self._dismissed: set[Key] = set()
        """Failures that the index still shows and that an order to unload has settled."""
        self._orders: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
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
            holdings=self._with_orders(),
            observed_at=self._heard_at if answered else None,
            message=self.message,
        )

    def load(self, action: LoadReplica, artifact: str) -> None:
        """Pass an order to load on, unless the same is under way."""
        key = (action.address.name, action.version)
        if self._ports and key not in self._loading:
            self._loading[key] = action
            self._failures.pop(key, None)
            self._dismissed.discard(key)
            self._begin(self._load(key, action, artifact))

    def unload(self, action: UnloadReplica) -> None:
        """Pass an order to unload on, unless one is under way: it is answered when the last request in it is."""
        key = (action.address.name, action.version)
        self._failures.pop(key, None)
        self._dismissed.add(key)
        if self._ports and key not in self._unloading:
            self._unloading.add(key)
            self._begin(self._unload(key, action.sequence))

    def drain(self) -> None:
        """Have it finish what it has and end."""
        if self.phase is not ServerPhase.DRAINING:
            self.phase = ServerPhase.DRAINING
            self._begin(self.process.stop(DRAIN_S))

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
            for task in self._orders:
                task.cancel()
            await asyncio.gather(*self._orders, return_exceptions=True)
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
            index = await self._index()
            page = metrics_page(await self._metrics())
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return
        self._heard_at = self._around.clock.now()
        before, self._holdings = self._holdings, holdings_of(index, page)
        if self.phase in (ServerPhase.STARTING, ServerPhase.LOST):
            self.phase, self.message = ServerPhase.READY, ""
            self.ready_at = self.ready_at or self._heard_at
            self._around.changed()
        elif _phases(before) != _phases(self._holdings):
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

    def _begin(self, order: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(order)
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def _load(self, key: Key, action: LoadReplica, artifact: str) -> None:
        order = LoadOrder(
            forebay_artifact=artifact,
            forebay_digest=action.digest,
            forebay_version=action.version,
            forebay_memory_limit=action.memory_limit_bytes,
            forebay_sequence=action.sequence,
        )
        serving = ServingConfig.model_validate(dataclasses.asdict(action.serving))
        try:
            refusal = await self._order(key[0], "load", order.to_body(key[0], serving))
            await self._read_pages()
        finally:
            del self._loading[key]
        if refusal:
            self._failures[key] = Failure(self._around.clock.now(), refusal)
        self._around.changed()

    async def _unload(self, key: Key, sequence: int) -> None:
        order = UnloadOrder(forebay_version=key[1], forebay_sequence=sequence)
        try:
            await self._order(key[0], "unload", order.to_body())
        finally:
            self._unloading.discard(key)

    async def _order(self, model: str, verb: str, body: Mapping[str, Any]) -> str:
        """Post an order. Returns why it was refused; empty: it was carried out, or nobody knows."""
        url = self._url("http", f"/v2/repository/models/{model}/{verb}")
        try:
            async with self._http.post(url, json=body, headers=self._token(), timeout=_ORDER_TIMEOUT) as answer:
                text = await answer.text()
                return "" if answer.ok else _refusal(text)
        except (TimeoutError, aiohttp.ClientError):
            return ""
        finally:
            self._look.set()

    async def _index(self) -> list[IndexEntry]:
        url = self._url("http", "/v2/repository/index")
        async with self._http.post(url, json={}, headers=self._token(), timeout=_PAGE_TIMEOUT) as answer:
            answer.raise_for_status()
            return [IndexEntry.model_validate(entry) for entry in await answer.json(content_type=None)]

    async def _metrics(self) -> str:
        async with self._http.get(self._url("metrics", "/metrics"), timeout=_PAGE_TIMEOUT) as answer:
            answer.raise_for_status()
            return await answer.text()

    def _url(self, port: str, path: str) -> str:
        return f"http://{HOST}:{self._ports[port]}{path}"

    def _token(self) -> dict[str, str]:
        return {REPOSITORY_TOKEN: self.plan.token}

    def _with_orders(self) -> tuple[Holding, ...]:
        """What the pages say, with the orders under way and the refusals that the index does not keep."""
        held = {(holding.model, holding.version): holding for holding in self._holdings if not self._is_settled(holding)}
        for key, action in self._loading.items():
            if key not in held or held[key].phase is HoldingPhase.FAILED:
                held[key] = Holding(model=key[0], version=key[1], phase=HoldingPhase.LOADING, digest=action.digest)
        for key, failure in self._failures.items():
            known = held.get(key)
            if known is None or known.phase is HoldingPhase.FAILED:
                reason = known.reason if known and known.reason else failure.reason
                held[key] = Holding(
                    model=key[0], version=key[1], phase=HoldingPhase.FAILED, reason=reason, failed_at=failure.at
                )
        return tuple(self._dated(held[key]) for key in sorted(held))

    def _is_settled(self, holding: Holding) -> bool:
        return holding.phase is HoldingPhase.FAILED and (holding.model, holding.version) in self._dismissed

    def _dated(self, holding: Holding) -> Holding:
        """A failure that only the index told of counts from when it was first seen."""
        if holding.phase is not HoldingPhase.FAILED or holding.failed_at is not None:
            return holding
        key = (holding.model, holding.version)
        self._failures[key] = Failure(self._around.clock.now(), holding.reason)
        return dataclasses.replace(holding, failed_at=self._failures[key].at)


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


def _phases(holdings: tuple[Holding, ...]) -> set[tuple[str, int, HoldingPhase, int | None]]:
    """What of the holdings the step should look at as soon as it changes."""
    return {(holding.model, holding.version, holding.phase, holding.footprint_bytes) for holding in holdings}


def _refusal(text: str) -> str:
    """What Triton's error form says."""
    try:
        said = json.loads(text)
    except ValueError:
        return text or "refused without a reason"
    return str(said.get("error", text)) if isinstance(said, dict) else text
