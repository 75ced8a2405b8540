"""A real `forebay up` that is broken and started again, with models whose answers tell their revision."""

import asyncio
import contextlib
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaos_ledger import Timeline
from chaos_plan import Target
from forebay_operator.cli.connection import CommandError
from forebay_operator.worlds.local.process_table import command_of, start_time
from local_models import a_deployment, save_scaling_model
from local_up import FOREBAY, Up

PROGRAMS: Final = {Target.GATEWAY: "forebay_gateway", Target.ENVOY: "bin/envoy"}
"""Words of the command lines of those of which there is one."""
_LOOK_S: Final = 0.2
_ANSWERS: Final = "gateway: answers"
_START_S: Final = 300.0
"""A program that is started on two cores beside dozens of busy ones has needed two minutes to be there at all."""
_END_S: Final = 180.0
"""What it was asked is answered first, for half a minute at most."""


class UnsettledError(Exception):
    """Something did not come about in time; the message says what, and what there was instead."""


@dataclass(slots=True)
class Model:
    """What is asked for."""

    name: str
    number: int
    """Of its kind: makes its factors its own."""
    spec: Mapping[str, Any]
    timeline: Timeline = field(default_factory=Timeline)
    made: int = 0
    """Revisions so far, of all objects of this name."""


class Site:
    """Starts, ends and asks it. Methods without `async` wait for the other process: call them in a thread."""

    def __init__(self, folder: Path, devices: str) -> None:
        self._state = folder / "state"
        self._sources = folder / "sources"
        self._terminal = folder / "terminal.txt"
        self._devices = devices
        self._ports = (0, 0)
        self._process: subprocess.Popen[str] | None = None
        self.models: dict[str, Model] = {}
        self._state.mkdir(parents=True)
        self._sources.mkdir()

    @property
    def up(self) -> Up:
        assert self._process, "it was started"
        return Up(self._state, self._process, self._terminal)

    @property
    def ports(self) -> tuple[int, int]:
        """HTTP, gRPC: the same after each start."""
        return self._ports

    def printed(self) -> str:
        return self._terminal.read_text() if self._terminal.exists() else ""

    async def start(self) -> None:
        """Return when it answers.

        Raises:
            UnsettledError: it does not start.
        """
        said = self.printed().count(_ANSWERS)
        process = self._process = self._new_process()
        await self.until(
            lambda: process.poll() is not None or self.printed().count(_ANSWERS) > said, "forebay up answers", _START_S
        )
        if process.poll() is not None:
            raise UnsettledError(f"forebay up ended with {process.returncode}: {self.printed()[-2000:]}")
        description = self.up.connection.description
        self._ports = (description.http_port, description.grpc_port)

    def _new_process(self) -> "subprocess.Popen[str]":
        http, grpc = self._ports
        line = [*FOREBAY, "up", "--state", str(self._state), "--http-port", str(http), "--grpc-port", str(grpc)]
        with self._terminal.open("a") as file:
            return subprocess.Popen([*line, "--devices", self._devices], stdout=file, stderr=file, text=True)

    async def end(self) -> None:
        """Ask it to end; return when it and all of its processes are gone."""
        up = self.up
        up.process.terminate()
        await self.until(lambda: up.process.poll() is not None, "forebay up ends", _END_S)
        await self.gone()

    async def gone(self) -> None:
        """Return when none of its processes is left."""
        await self.until(lambda: not self.up.pids(), "its processes are gone", _END_S)

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        if self._process is None:
            return
        with contextlib.suppress(UnsettledError):
            await self.end()
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(UnsettledError):
            await self.gone()

    async def make(self, name: str, spec: Mapping[str, Any]) -> None:
        """Ask for a new model."""
        self.models[name] = model = Model(name, len(self.models) + 1, spec)
        model.timeline.is_away(time.monotonic())
        await self.revise(name)

    async def revise(self, name: str, sources: int = 1000) -> None:
        """Ask for a new revision; it has a factor of its own until there were so many, then an older one's."""
        model = self.models[name]
        model.made += 1
        factor = 1000 * model.number + model.made % sources
        save_scaling_model(self._sources / f"{factor}.onnx", factor)
        model.timeline.asked(factor, time.monotonic())
        await self._apply(model)

    async def scale(self, name: str, spec: Mapping[str, Any]) -> None:
        """Ask for the same revision in another number."""
        self.models[name].spec = spec
        await self._apply(self.models[name])

    async def recreate(self, name: str, away_s: float) -> None:
        """Delete it and, after a while, make another of this name."""
        self.models[name].timeline.is_away(time.monotonic())
        await asyncio.to_thread(lambda: self.up.connection.delete(f"/objects/default/{name}"))
        await asyncio.sleep(away_s)
        await self.revise(name)

    async def _apply(self, model: Model) -> None:
        text = a_deployment(model.name, f"{model.timeline.newest}.onnx", **model.spec)
        body = {"documents": [{"name": model.name, "folder": str(self._sources), "text": text}], "namespace": "default"}
        said = await asyncio.to_thread(lambda: self.up.connection.post("/apply", body))
        assert not said["problems"], said["problems"]

    def files_bytes(self) -> int:
        """What its state folder takes."""
        # Not by rglob, which fails where a folder goes while it is read.
        return sum(_size(Path(folder, name)) for folder, _, names in os.walk(self._state) for name in names)

    async def wait_until_settled(
        self, timeout_s: float, answered_since: Callable[[str], float], leave_out: Set[str] = frozenset()
    ) -> float:
        """Return, with when that was, once every model is Ready with what was asked for last and was answered by it.

        `answered_since` says of a model when the newest request was sent that its newest revision answered over all protocols.

        Raises:
            UnsettledError: that takes longer; it says what is missing.
        """
        began, ready_at = time.monotonic(), dict[str, float]()
        names = self.models.keys() - leave_out
        while missing := await self._missing(names, ready_at, answered_since):
            if time.monotonic() - began > timeout_s:
                raise UnsettledError(f"not settled within {timeout_s:.0f} s: {'; '.join(missing)}")
            await asyncio.sleep(_LOOK_S)
        settled = time.monotonic()
        # Not as soon as they are Ready: with the gateway away, Envoy goes on by its older routes.
        for name in names:
            self.models[name].timeline.serves_newest(settled)
        return settled

    async def _missing(
        self, names: Iterable[str], ready_at: dict[str, float], answered_since: Callable[[str], float]
    ) -> list[str]:
        """What is not well; notes when each model was first seen Ready."""
        seen = await self.summaries()
        missing = await asyncio.to_thread(self._missing_processes)
        for name in sorted(names):
            why_not = seen.get(name, "no such object")
            if why_not:
                ready_at.pop(name, None)
                missing.append(f"{name}: {why_not}")
                continue
            if name not in ready_at:
                ready_at[name] = time.monotonic()
            if answered_since(name) < ready_at[name]:
                missing.append(f"{name}: Ready, and not answered over both protocols since")
        return missing

    def _missing_processes(self) -> list[str]:
        try:
            top = self.up.connection.get("/top")
            ready_file = Path(self.up.connection.description.socket).with_name("gateway-ready.json")
        except CommandError as error:
            return [str(error)]
        missing = [f"server {server['name']} is {server['phase']}" for server in top["servers"] if server["phase"] != "ready"]
        programs = [program for program in PROGRAMS.values() if len(self.up.pids(program)) != 1]
        if programs or not ready_file.exists() or not top["gateway"]:
            missing.append(f"the gateway is away ({', '.join(programs) or 'not ready'})")
        return missing

    async def summaries(self) -> dict[str, str]:
        """By model: empty when it is what was asked for, else what it says of itself."""
        try:
            objects = (await asyncio.to_thread(lambda: self.up.connection.get("/objects")))["objects"]
        except CommandError as error:
            return dict.fromkeys(self.models, str(error))
        return {shown["metadata"]["name"]: self._why_not(shown) for shown in objects}

    def _why_not(self, shown: Mapping[str, Any]) -> str:
        status, model = shown.get("status", {}), self.models[shown["metadata"]["name"]]
        conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
        ready = conditions.get("Ready", {})
        newest = max((revision["number"] for revision in status.get("revisions", [])), default=None)
        as_asked = (
            status.get("observedGeneration") == shown["metadata"].get("generation")
            and status.get("revision") == newest
            and ready.get("status") == "True"
        )
        least = model.spec.get("replicas", 1)
        if as_asked and status.get("readyReplicas", 0) >= least:
            return ""
        return f"revision {status.get('revision')} of {newest}, {status.get('summary', 'nothing said yet')}"

    async def until(self, condition: Callable[[], object], what: str, timeout_s: float) -> None:
        """Return as soon as the condition holds.

        Raises:
            UnsettledError: it does not in time.
        """
        deadline = time.monotonic() + timeout_s
        while not await asyncio.to_thread(condition):
            if time.monotonic() > deadline:
                left = [command_of(pid) for pid in self.up.pids()]
                raise UnsettledError(f"waited {timeout_s:.0f} s in vain: {what}; running: {left}")
            await asyncio.sleep(0.02)


def _size(path: Path) -> int:
    """Zero: it is no file, or gone by now."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def is_gone(pid: int, started: int | None) -> bool:
    """Whether that very process has ended."""
    return started is None or start_time(pid) != started
