"""The processes of this `forebay up`: started in a group of their own, marked, written down, their output in a log file."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forebay_operator.worlds.local import log_files, process_table
from forebay_operator.worlds.local.leftovers import MARK, Group, end_all
from forebay_operator.worlds.local.state import StateFolder

_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start."""

    name: str
    """Names the log file."""
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str]


class Process:
    """A child process and its group."""

    def __init__(self, command: Command, child: subprocess.Popen[bytes]) -> None:
        self.name = command.name
        self.log = command.log
        self.pid = child.pid
        self._child = child
        self._end = asyncio.ensure_future(self._wait())

    @property
    def ended(self) -> asyncio.Future[int]:
        """Becomes the exit status (negative: the signal that ended it)."""
        return self._end

    @property
    def running(self) -> bool:
        return not self._end.done()

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its group."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """Ask it to end; after the grace, or when this is cancelled, end it. Returns when it is gone."""
        self.terminate()
        try:
            await asyncio.wait([self._end], timeout=grace_s)
        finally:
            self.kill()
        await asyncio.wait([self._end])

    def how_it_ended(self) -> str:
        """A sentence for people: the status and, where it ended by itself and failed, its last words."""
        status = self._end.result() if self._end.done() else None
        words = _message_of(log_files.last_line(self.log)) if status and status > 0 else ""
        return f"{_end_in_words(status)}: {words}" if words else _end_in_words(status)

    async def _wait(self) -> int:
        # Polled rather than awaited through a child watcher: those need the main thread, or a thread for each child.
        while (status := self._child.poll()) is None:  # noqa: ASYNC110 - nothing in this program sets an event at its end
            await asyncio.sleep(_POLL_S)
        return status

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ProcessHost:
    """Starts processes so that none of them outlives this one: a reaper waits for its end."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._mark = folder.mark()
        self._groups: set[Group] = set()
        self._reaper: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """End what an earlier `forebay up` left, and start the reaper."""
        end_all(self._mark, self._recorded())
        self._folder.groups.write_text("", encoding="utf-8")
        self._reaper = subprocess.Popen(
            [sys.executable, "-m", "forebay_operator.worlds.local.reaper", self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=self._environment({}),
        )

    def start(self, command: Command) -> Process:
        """Start a process.

        Raises:
            OSError: there is no such program.
        """
        log = log_files.open_for_appending(command.log)
        try:
            child = subprocess.Popen(
                list(command.arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment(command.environment),
            )
        finally:
            os.close(log)
        if (started := process_table.start_time(child.pid)) is not None:
            self.record(Group(child.pid, started))
        return Process(command, child)

    def record(self, group: Group) -> None:
        """Write a process group down, once, for the reaper and for the next start; unless it is gone: its pid may be
        another's by now."""
        if group in self._groups or process_table.start_time(group.pid) != group.started:
            return
        self._groups.add(group)
        line = f"{group}\n"
        with self._folder.groups.open("a", encoding="utf-8") as file:
            file.write(line)
        if self._reaper and self._reaper.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.stdin.write(line.encode())
                self._reaper.stdin.flush()

    def close(self) -> None:
        """End all that still runs, the reaper last."""
        if self._reaper and self._reaper.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.stdin.close()
            self._reaper.wait()
            self._reaper = None
        end_all(self._mark, self._recorded())

    def _recorded(self) -> list[Group]:
        with contextlib.suppress(FileNotFoundError):
            lines = self._folder.groups.read_text(encoding="utf-8").splitlines()
            return [group for line in lines if (group := Group.parse(line))]
        return []

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, "ORT_DISABLE_TELEMETRY": "1", **more, MARK: self._mark}


def _message_of(line: str) -> str:
    """What a line of a log says, whether it is one of ours or some library's."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return str(said.get("message", line)) if isinstance(said, dict) else line


def _end_in_words(status: int | None) -> str:
    if status is None:
        return "it is ending"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-status).name}"
    return f"it ended with exit status {status}"
