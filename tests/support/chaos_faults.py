"""Kills, stops and starves the processes of a site."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chaos_ledger import Kill
from chaos_plan import Fault, Kind, Target
from chaos_site import PROGRAMS, Site, is_gone
from forebay_operator.worlds.local.gateway import DRAIN_S
from forebay_operator.worlds.local.process_table import start_time

_BUSY_LOOPS: Final = 6
"""Beside a starved process on its CPU: it gets about a seventh of that."""
_END_S: Final = 60.0
_REPLACED_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class _Victim:
    pid: int
    models: frozenset[str]


async def inject(site: Site, fault: Fault) -> Kill | None:
    """Do it and, where it lasts, undo it. Returns what was killed, if anything was; `forebay up` is started again."""
    victim = await asyncio.to_thread(_find, site, fault)
    if fault.kind is Kind.STOP:
        await _stop(victim.pid, fault.lasts_s)
        return None
    if fault.kind is Kind.STARVE:
        with _starved(victim.pid):
            await asyncio.sleep(fault.lasts_s)
        return None
    began, patience_s = time.monotonic(), DRAIN_S if fault.kind is Kind.END else 0.0
    if fault.target is Target.CONTROLLER:
        gone = await _restart(site, fault)
    elif fault.kind is Kind.HANG:
        gone = await _hang(site, victim.pid)
    else:
        gone = await _kill(site, victim.pid)
    return Kill(fault.name, fault.target, began, gone, victim.models, patience_s)


async def _kill(site: Site, pid: int) -> float:
    started = start_time(pid)
    os.kill(pid, signal.SIGKILL)
    await site.until(lambda: is_gone(pid, started), "a killed process ends", _END_S)
    return time.monotonic()


async def _hang(site: Site, pid: int) -> float:
    started = start_time(pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        await site.until(lambda: is_gone(pid, started), "a hanging process is ended", _REPLACED_S)
    finally:
        if not is_gone(pid, started):
            os.kill(pid, signal.SIGCONT)
    return time.monotonic()


async def _restart(site: Site, fault: Fault) -> float:
    """Everything dies with `forebay up`. Returns when the last of its processes was gone."""
    if fault.kind is Kind.KILL:
        site.up.process.kill()
        site.up.process.wait()
        await site.gone()
    else:
        await site.end()
    gone = time.monotonic()
    await site.start()
    return gone


async def _stop(pid: int, lasts_s: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(lasts_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _starved(pid: int) -> Generator[None]:
    allowed = os.sched_getaffinity(pid)
    cpu = {min(allowed)}
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(_BUSY_LOOPS)]
    try:
        _pin([*(loop.pid for loop in loops), *_threads(pid)], cpu)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
        _pin(_threads(pid), allowed)


def _pin(threads: Iterable[int], cpus: set[int]) -> None:
    for thread in threads:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, cpus)


def _threads(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(entry) for entry in os.listdir(Path("/proc") / str(pid) / "task")]
    return []


def _find(site: Site, fault: Fault) -> _Victim:
    everything = frozenset(site.models)
    if fault.target is Target.CONTROLLER:
        return _Victim(site.up.process.pid, everything)
    if fault.target is Target.SERVER:
        return _server(site, fault.choice)
    return _Victim(_wait_for_pid(site, PROGRAMS[fault.target]), everything)


def _server(site: Site, choice: float) -> _Victim:
    """One of the servers that are ready, and the models that are or were on it."""
    servers: list[dict[str, Any]] = [each for each in site.up.connection.get("/top")["servers"] if each["phase"] == "ready"]
    chosen = servers[int(choice * len(servers))]
    models = frozenset(held["model"] for held in chosen["holds"])
    return _Victim(site.up.pid_of_server(chosen["name"]), models)


def _wait_for_pid(site: Site, program: str) -> int:
    """Of the one that runs; another fault's end may still be going on."""
    deadline = time.monotonic() + _END_S
    while not (found := site.up.pids(program)):
        assert time.monotonic() < deadline, f"no {program} runs"
        time.sleep(0.05)
    return found[0]
