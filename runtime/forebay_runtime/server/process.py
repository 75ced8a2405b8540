"""The server as a process: starts to listen, loads, answers until it is told to end, and ends without a failed request."""

import asyncio
import gc
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forebay_runtime.engine.artifacts import ArtifactCache
from forebay_runtime.engine.devices import Device, machine_memory, open_device, resident_bytes
from forebay_runtime.engine.model_files import ModelRepository
from forebay_runtime.engine.onnx_session import share_memory, shrink
from forebay_runtime.server.grpc_api import GrpcApi
from forebay_runtime.server.grpc_inference import GrpcInference
from forebay_runtime.server.grpc_server import GrpcServer
from forebay_runtime.server.head_buffers import HeadBuffers
from forebay_runtime.server.http_api import HttpApi
from forebay_runtime.server.http_connection import HttpConnection, HttpService
from forebay_runtime.server.large_requests import LargeRequests
from forebay_runtime.server.metrics_page import MetricsApi
from forebay_runtime.server.repository_token import RepositoryToken
from forebay_runtime.service.data_plane import DataPlane
from forebay_runtime.service.loading import Loader
from forebay_runtime.service.model_store import ModelStore
from forebay_runtime.service.repository_control import RepositoryControl
from forebay_runtime.service.request_memory import RequestMemory
from forebay_runtime.service.run_watch import MemoryBound, RunWatch
from forebay_runtime.service.server_state import StateFile
from forebay_runtime.settings import Settings
from forebay_schema.logs import Logger
from forebay_schema.network import place

_log = Logger(__name__)
_QUIET_S: Final = 0.5
"""How long nothing may come before a draining server ends: its readiness has to be seen, its last answers to arrive."""
_CHECK_S: Final = 0.02
_GRACE_S: Final = 1.0
_STALL_S: Final = 30.0
_MOST_MEMORY: Final = 0.9
_HARD_LIMIT: Final = 0.95
"""Of the machine's memory: beyond the first the oldest run is stopped, beyond the second every allocation of a model fails."""
_BESIDE_MODELS: Final = 256 << 20
"""What answers, copies and threads may take beside models and requests."""


class Listeners:
    """HTTP listeners and their open connections; clients that stop in the middle are let go after `stall_s` to twice that."""

    def __init__(self, memory: RequestMemory, stall_s: float = _STALL_S) -> None:
        self._memory = memory
        self._stall_s = stall_s
        self._servers: list[asyncio.Server] = []
        self._connections: set[HttpConnection] = set()
        self._buffers = HeadBuffers()
        self._sweeping = asyncio.ensure_future(self._sweep())

    async def listen(self, service: HttpService, address: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            OSError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()

        def connection() -> HttpConnection:
            return HttpConnection(service, self._connections, self._memory, self._buffers)

        server = await loop.create_server(connection, **place(address, port), backlog=1024)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def busy(self) -> bool:
        """Whether a request is being received or an answer sent on any connection."""
        return any(connection.receiving or connection.sending for connection in self._connections)

    def close_idle(self) -> None:
        """Close the connections on which no request is on its way."""
        for connection in tuple(self._connections):
            if connection.idle:
                connection.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._stall_s)
            for connection in tuple(self._connections):
                connection.let_go_if_stalled()

    def close(self) -> None:
        self._sweeping.cancel()
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections):
            connection.abort()


@dataclass(frozen=True, slots=True)
class Ports:
    http: int
    grpc: int
    metrics: int


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OSError: a port cannot be had.
        SessionError: the device cannot be used.
        GpuError: there is no such GPU.
    """
    stop = _stop_signal()
    with tempfile.TemporaryDirectory(prefix="forebay-runtime-") as temporary:
        scratch = settings.scratch or Path(temporary)
        share_memory(int(machine_memory() * _HARD_LIMIT))
        device = open_device(settings.device, settings.device_memory)
        store = ModelStore()
        data_plane = DataPlane(store, strict_readiness=settings.strict_readiness)
        memory = RequestMemory(settings.request_memory or _request_memory(settings))
        runs = RunWatch(settings.run_timeout_s, _memory_bound(device, memory))
        loader = Loader(device, settings.warm_up_timeout_s, runs)
        control = _control(settings, scratch, store, loader)
        listeners = Listeners(memory)
        token = RepositoryToken(settings.repository_token_file)
        large = LargeRequests()
        api = HttpApi(data_plane, control, large, token=token, max_body_bytes=settings.http_max_input_size)
        http = await listeners.listen(api, settings.http_address, settings.http_port)
        metrics = await listeners.listen(MetricsApi(data_plane, device), settings.metrics_address, settings.metrics_port)
        loop = asyncio.get_running_loop()
        orders, inference = (
            GrpcApi(data_plane, control, token=token, loop=loop),
            GrpcInference(data_plane, loop, memory, large),
        )
        grpc = _grpc(settings, orders, inference, data_plane, memory)
        _announce(settings, Ports(http, grpc.port, metrics))
        loading = asyncio.ensure_future(_load(control, settings, data_plane))
        await stop.wait()

        def busy() -> bool:
            return listeners.busy() or api.recoding or inference.busy

        await _drain(data_plane, busy, settings.exit_timeout_s)
        listeners.close_idle()
        loading.cancel()
        await grpc.stop(_GRACE_S)
        listeners.close()
        large.close()
        loader.close()
    _log.info("stopped")


def _control(settings: Settings, scratch: Path, store: ModelStore, loader: Loader) -> RepositoryControl:
    return RepositoryControl(
        store=store,
        loader=loader,
        artifacts=ArtifactCache(scratch / "artifacts", settings.artifact_cache),
        state_file=StateFile(scratch / "server-state.json"),
        repository=ModelRepository(settings.model_repository, scratch) if settings.model_repository else None,
        mode="explicit" if settings.explicit else "none",
        auto_complete=settings.auto_complete,
    )


def _request_memory(settings: Settings) -> int:
    """An eighth of the machine's memory, but room for two requests of the largest size."""
    return max(machine_memory() // 8, 2 * settings.http_max_input_size)


def _memory_bound(device: Device, requests: RequestMemory) -> MemoryBound:
    """What the process may take before models are stopped: less than what would have it killed, and every model with it.

    On a CPU that is also no more than what models and requests may take: a machine has others to serve.
    """
    limit = int(machine_memory() * _MOST_MEMORY)
    if device.kind == "cpu":
        limit = min(limit, resident_bytes() + device.total_bytes + requests.limit_bytes + _BESIDE_MODELS)
    return MemoryBound(limit, resident_bytes, shrink)


def _grpc(
    settings: Settings, api: GrpcApi, inference: GrpcInference, data_plane: DataPlane, memory: RequestMemory
) -> GrpcServer:
    loop = asyncio.get_running_loop()

    def on_refused() -> None:
        loop.call_soon_threadsafe(data_plane.refused)

    return GrpcServer(
        api, inference, settings.grpc_address, settings.grpc_port, max_message_bytes=memory.limit_bytes, on_refused=on_refused
    )


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _announce(settings: Settings, ports: Ports) -> None:
    _log.info("listening", http=ports.http, grpc=ports.grpc, metrics=ports.metrics)
    if settings.ready_file is None:
        return
    content = {"pid": os.getpid(), "http": ports.http, "grpc": ports.grpc, "metrics": ports.metrics}
    part = settings.ready_file.with_name(f".{settings.ready_file.name}.part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(settings.ready_file)


async def _load(control: RepositoryControl, settings: Settings, data_plane: DataPlane) -> None:
    try:
        await control.start(settings.load_models)
    except Exception:
        _log.exception("the models of the command line are not loaded")
        return
    data_plane.started = True
    # What is loaded stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()


async def _drain(data_plane: DataPlane, busy: Callable[[], bool], timeout_s: float) -> None:
    """Answer what is on its way; take nothing new from the gateway; wait until nothing has come for a while."""
    data_plane.draining = True
    _log.info("draining", timeout_seconds=timeout_s)
    deadline = time.monotonic() + timeout_s
    quiet_since = time.monotonic()
    while (now := time.monotonic()) < deadline:
        if busy() or not data_plane.idle():
            quiet_since = now
        elif now - quiet_since >= _QUIET_S:
            break
        await asyncio.sleep(_CHECK_S)
