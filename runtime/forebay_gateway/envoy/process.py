"""Envoy as a process that may outlive ours: who it is, whether it lives, how it is ended.

A process id alone says little: it is used again. With the time that the process started, it is unique.
"""

import asyncio
import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

_START_TIME_FIELD: Final = 19
"""Of /proc/PID/stat, counted behind the command (proc(5): field 22, starttime)."""
_STATE_FIELD: Final = 0


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    pid: int
    started: int
    """Clock ticks between the machine's start and the process's."""
    bootstrap: str
    """Digest of the file it was started with."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What a pid file says, or None if it says nothing that makes sense."""
        try:
            content = json.loads(path.read_text())
            return cls(pid=int(content["pid"]), started=int(content["started"]), bootstrap=str(content["bootstrap"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def lives(self) -> bool:
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[_STATE_FIELD] == "Z" else int(fields[_START_TIME_FIELD])


class EnvoyProcess:
    """A living Envoy, our child or adopted."""

    def __init__(self, identity: ProcessIdentity, child: "subprocess.Popen[bytes] | None" = None) -> None:
        """Watch a process that lives now.

        Raises:
            ProcessLookupError: it does not.
        """
        self.identity = identity
        self.adopted = child is None
        self._child = child
        self._descriptor = os.pidfd_open(identity.pid)
        self._ended = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._descriptor, self._on_end)

    async def ended(self) -> int | None:
        """Wait for the process's end: its exit code, if it was our child."""
        await asyncio.shield(self._ended)
        return self._child.wait() if self._child else None

    async def stop(self, patience_s: float) -> None:
        """Ask it to end, then make it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._ended.done():
                break
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)
            await asyncio.wait([self._ended], timeout=patience_s)
        await self.ended()
        self.abandon()

    def kill(self) -> None:
        """Make it end."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def abandon(self) -> None:
        """Watch it no longer; it lives on."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        if not self._ended.done():
            self._ended.set_result(None)


def start(command: list[str], log: Path, bootstrap: str) -> EnvoyProcess:
    """Start Envoy in a session of its own: what ends our process does not end it."""
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    identity = ProcessIdentity(pid=child.pid, started=start_time(child.pid) or 0, bootstrap=bootstrap)
    return EnvoyProcess(identity, child)
