"""`forebay up`: puts the parts of the local world together, runs them, and ends them in order."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from forebay_operator.domain.snapshot import Settings
from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.local import log_files
from forebay_operator.worlds.local.admission import Admission, read_changes
from forebay_operator.worlds.local.control_api import ControlApi
from forebay_operator.worlds.local.conversions import Conversions
from forebay_operator.worlds.local.description import Description
from forebay_operator.worlds.local.devices import Device, capacity_of
from forebay_operator.worlds.local.events import Event, Events
from forebay_operator.worlds.local.gateway import DRAIN_S, Gateway
from forebay_operator.worlds.local.lasting import keep_going
from forebay_operator.worlds.local.objects import Objects
from forebay_operator.worlds.local.ports import usable_port
from forebay_operator.worlds.local.processes import ProcessHost
from forebay_operator.worlds.local.server import STOP_GRACE_S
from forebay_operator.worlds.local.servers import Servers
from forebay_operator.worlds.local.state import StateFolder, fresh_run_folder, replace_text
from forebay_operator.worlds.local.store import LocalStore
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_operator.worlds.local.triton_repository import TritonRepository
from forebay_operator.worlds.local.watched_files import WatchedFiles
from forebay_operator.worlds.local.world import LocalWorld, Parts
from forebay_operator.worlds.loop import StepLoop

SETTINGS: Final = Settings(warm_servers=1, server_idle_s=60.0, hold_seconds=45.0)
_FILES_S: Final = 0.5
_LOGS_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What `forebay up` was asked for."""

    files: Sequence[Path]
    devices: Sequence[Device]
    http_port: int
    """0: any free one."""
    grpc_port: int
    trust_source: bool = False
    triton_repository: Path | None = None
    """A repository that is served as it is, on the first of the devices."""
    settings: Settings = SETTINGS


async def run_up(folder: StateFolder, options: UpOptions, show: Callable[[Event], None]) -> None:
    """Run until asked to end by SIGINT, SIGTERM or SIGHUP; then answer what was asked, and end everything. Asked again, end at
    once. The folder is locked by the caller.

    Raises:
        PortError: a port is in use.
        StateError: the run folder is somebody else's.
    """
    stop = _Stop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.ask)
    async with _running(folder, options, show) as application:
        await stop.asked.wait()
        await application.drain(stop.hurried)


class _Stop:
    """That this was asked to end; asked again, at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def ask(self) -> None:
        (self.hurried if self.asked.is_set() else self.asked).set()


@contextlib.asynccontextmanager
async def _running(folder: StateFolder, options: UpOptions, show: Callable[[Event], None]) -> AsyncGenerator["_Application"]:
    host = ProcessHost(folder)
    host.open()
    try:
        async with _Application(folder, host, options, show) as application:
            yield application
    finally:
        host.close()
        folder.description.unlink(missing_ok=True)


class _Application:
    """Everything that runs, from its start to its end."""

    def __init__(self, folder: StateFolder, host: ProcessHost, options: UpOptions, show: Callable[[Event], None]) -> None:
        shutil.rmtree(folder.scratch, ignore_errors=True)
        folder.scratch.mkdir()
        self._folder = folder
        self._changed = asyncio.Event()
        clock = Clock()
        self._events = Events(clock.now)
        self._events.listen(show)
        self._around = Surroundings(
            folder=folder,
            run=fresh_run_folder(folder),
            host=host,
            clock=clock,
            changed=self._changed.set,
            tell=self._events.tell,
        )
        self._parts = self._make_parts(options)
        self._repository = self._make_repository(options)
        world = LocalWorld(self._around, self._parts, capacity_of(_planned(options)), options.settings)
        self._loop = StepLoop(world, self._changed, failed=self._tell_of_failure)
        self._admission = Admission(self._parts.objects, self._around)
        self._api = ControlApi(world, self._admission, self._events, folder.logs, self._repository)
        self._files = WatchedFiles(options.files)
        self._tasks: list[asyncio.Task[None]] = []
        self._grace_s = STOP_GRACE_S

    def _make_parts(self, options: UpOptions) -> Parts:
        around = self._around
        http_port = usable_port(options.http_port, "--http-port")
        grpc_port = usable_port(options.grpc_port, "--grpc-port")
        return Parts(
            objects=Objects(self._folder.objects, around.tell),
            servers=Servers(around, _planned(options), options.settings.server_start_timeout_s),
            conversions=Conversions(around, trust_source=options.trust_source),
            gateway=Gateway(around, http_port, grpc_port, options.settings.hold_seconds),
            store=LocalStore(self._folder.store),
        )

    def _make_repository(self, options: UpOptions) -> TritonRepository | None:
        if options.triton_repository is None:
            return None
        return TritonRepository(self._around, options.triton_repository, options.devices[0], self._parts.gateway)

    async def __aenter__(self) -> Self:
        self._admission.forget_other_files(self._files.present())
        self._admission.follow(read_changes(self._files), self._files)
        self._parts.servers.open()
        # The routes of what is wanted are known before the gateway opens its ports: a request finds its model from the start.
        self._loop.step()
        self._parts.gateway.open()
        if self._repository:
            self._repository.open()
        await self._api.open(self._around.run / "forebay.sock")
        self._describe()
        works = {
            "controller": self._loop.run,
            "files": self._follow_files,
            "logs": self._tend_logs,
            "state": self._watch_folder,
            "gateway": self._say_when_ready,
        }
        self._tasks = [asyncio.ensure_future(keep_going(name, work, self._events.tell)) for name, work in works.items()]
        return self

    async def drain(self, hurried: asyncio.Event) -> None:
        """Take nothing new and answer what was asked, until there is a hurry, or for some time. All else goes on meanwhile."""
        # The terminal may be gone.
        with contextlib.suppress(OSError):
            self._events.tell(
                "gateway",
                f"takes no more; what it was asked is answered first, for {DRAIN_S:.0f} s at most. Ctrl-C ends it at once",
            )
        draining = asyncio.ensure_future(self._parts.gateway.drain())
        hurrying = asyncio.ensure_future(hurried.wait())
        await asyncio.wait([draining, hurrying], return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurrying):
            task.cancel()
        await asyncio.gather(draining, hurrying, return_exceptions=True)
        self._grace_s = 0.0 if hurried.is_set() else STOP_GRACE_S

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.close()
        # The gateway first: no client is sent to a server that ends.
        await self._parts.gateway.close()
        if self._repository:
            await self._repository.close(self._grace_s)
        await asyncio.gather(self._parts.servers.close(self._grace_s), self._parts.conversions.close())

    def _tell_of_failure(self, error: Exception) -> None:
        self._events.tell("controller", f"a step failed and is tried again: {type(error).__name__}: {error}")

    async def _follow_files(self) -> None:
        while True:
            await asyncio.sleep(_FILES_S)
            self._admission.follow(await asyncio.to_thread(read_changes, self._files), self._files)

    async def _tend_logs(self) -> None:
        while True:
            log_files.rotate(self._folder.logs)
            log_files.forget_old(self._folder.logs)
            await asyncio.sleep(_LOGS_S)

    async def _watch_folder(self) -> None:
        """Without the folder nothing can be converted, loaded or asked any more: a person has to know why."""
        while self._folder.store.is_dir():  # noqa: ASYNC110 - nobody tells us when a folder is deleted
            await asyncio.sleep(_FILES_S)
        self._events.tell(
            "state",
            f"{self._folder.store} is gone: what is loaded serves on, and nothing can be changed. End this by Ctrl-C, start"
            " `forebay up` again: models of files are converted anew, and what was applied has to be applied again",
        )

    async def _say_when_ready(self) -> None:
        gateway = self._parts.gateway
        await gateway.ready.wait()
        self._events.tell("gateway", f"answers HTTP on 127.0.0.1:{gateway.http_port}, gRPC on 127.0.0.1:{gateway.grpc_port}")

    def _describe(self) -> None:
        gateway = self._parts.gateway
        description = Description(
            pid=os.getpid(),
            socket=str(self._around.run / "forebay.sock"),
            http_port=gateway.http_port,
            grpc_port=gateway.grpc_port,
        )
        replace_text(self._folder.description, description.to_json())


def _planned(options: UpOptions) -> Sequence[Device]:
    """The devices that the control step places models on."""
    return options.devices[1:] if options.triton_repository else options.devices
