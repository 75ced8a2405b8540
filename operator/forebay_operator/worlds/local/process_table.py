"""What the kernel says of processes and ports, in `/proc`. What ended meanwhile or belongs to others counts as not there."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that listens on a port."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})"


def pids() -> Iterator[int]:
    """Every process there is now."""
    return (int(entry) for entry in os.listdir(_PROC) if entry.isdecimal())


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with it a pid means the same process for ever. None: it is gone."""
    stat = _stat(pid)
    return int(stat[19]) if stat and stat[0] != "Z" else None


def group_of(pid: int) -> int | None:
    """The process group of a process."""
    stat = _stat(pid)
    return int(stat[2]) if stat else None


def command_of(pid: int) -> str:
    """The command line of a process, shortened; its bare name where others' command lines are hidden."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        text = " ".join(words).strip() or (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return "unknown command"
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - one line of a terminal


def has_in_environment(pid: int, variable: str, value: str) -> bool:
    """Whether a process of ours was started with this variable."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{variable}={value}".encode() in environment.split(b"\0")


def owner_of_port(port: int) -> Owner | None:
    """Who listens on a TCP port of this machine; None: nobody, or a process of another user."""
    sockets = {f"socket:[{inode}]" for inode in _listening_sockets(port)}
    if not sockets:
        return None
    return next((Owner(pid, command_of(pid)) for pid in pids() if sockets & set(_open_files(pid))), None)


def _stat(pid: int) -> list[str] | None:
    """The fields of `/proc/PID/stat` after the command, which may hold anything: state, ppid, pgrp, …"""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _listening_sockets(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _open_files(pid: int) -> Iterator[str]:
    folder = _PROC / str(pid) / "fd"
    try:
        for name in os.listdir(folder):
            yield os.readlink(folder / name)
    except OSError:
        return
