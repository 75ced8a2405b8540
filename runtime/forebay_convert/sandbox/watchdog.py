"""Looks at a running child from outside, and says when it goes past its budget."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

MIB = 1 << 20

BreachKind = Literal["memory", "threads", "time", "disk", "output"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a child may use before it is killed. Overshoot is possible between two looks (every 50 ms; disk every 250 ms)."""

    seconds: float
    memory_bytes: int
    disk_bytes: int
    threads: int = 128
    entries: int = 10_000
    tail_bytes: int = 64 << 10
    """How much is kept of each of its output streams; a hundred times as much and it is killed."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A budget that was passed; `seen` and `allowed` are for a person."""

    kind: BreachKind
    seen: str
    allowed: str


@dataclass(frozen=True, slots=True)
class Usage:
    memory_bytes: int = 0
    threads: int = 0


def usage_of(pid: int) -> Usage:
    """Memory that is the process's own (anonymous and shared, not mapped files), and its threads; zero where unknown."""
    try:
        with open(f"/proc/{pid}/status") as file:
            rows = dict(line.split(":", 1) for line in file if ":" in line)
    except (FileNotFoundError, ProcessLookupError):
        return Usage()
    kibibytes = sum(int(rows[key].split()[0]) for key in ("RssAnon", "RssShmem") if key in rows)
    return Usage(kibibytes << 10, int(rows.get("Threads", "0")))


def check_usage(usage: Usage, budget: Budget) -> Breach | None:
    if usage.memory_bytes > budget.memory_bytes:
        return Breach("memory", f"{usage.memory_bytes // MIB} MiB", f"{budget.memory_bytes // MIB} MiB")
    if usage.threads > budget.threads:
        return Breach("threads", str(usage.threads), str(budget.threads))
    return None


def check_disk(folder: str, budget: Budget) -> Breach | None:
    """A tree that cannot be read, or is too deep to name, counts as a breach: nothing honest makes one."""
    try:
        size, entries = _measure(folder, budget.entries)
    except OSError as error:
        return Breach("disk", f"a folder that cannot be read ({error.strerror})", f"{budget.disk_bytes // MIB} MiB")
    if size > budget.disk_bytes:
        return Breach("disk", f"{size // MIB} MiB", f"{budget.disk_bytes // MIB} MiB")
    if entries > budget.entries:
        return Breach("disk", f"{entries} files", f"{budget.entries} files")
    return None


def _measure(folder: str, most_entries: int) -> tuple[int, int]:
    size = entries = 0
    for entry_size in _sizes(folder):
        entries += 1
        size += entry_size
        if entries > most_entries:
            break
    return size, entries


def _sizes(top: str) -> Iterator[int]:
    """Bytes on disk of every entry under a folder that its owner may be changing at the same time."""
    pending = [top]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    yield entry.stat(follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:
            continue
