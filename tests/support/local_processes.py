"""Waiting for what other processes do: a condition with a deadline, never a fixed time."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from forebay_operator.worlds.local.process_table import start_time


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
    """Return as soon as the condition holds; fail with `what` when it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    return start_time(pid) is not None


def whole_command(pid: int) -> str:
    """The command line of a process, however long; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


async def until(condition: Callable[[], object], what: str, timeout_s: float = 90.0) -> None:
    """The same beside an event loop that has to go on."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain: {what}"
        await asyncio.sleep(0.02)
