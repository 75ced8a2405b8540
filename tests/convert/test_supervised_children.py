"""Real children under their supervisor."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from forebay_convert.sandbox.supervisor import ChildOrder, run_child
from forebay_convert.sandbox.watchdog import Budget

PATIENCE_S = 60.0
BUDGET = Budget(seconds=PATIENCE_S, memory_bytes=1 << 30, disk_bytes=1 << 20, threads=64, entries=10)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    try:
        while is_running(pid):
            assert time.monotonic() < deadline, "the child's child runs on"
            time.sleep(0.02)
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def test_what_an_unsealed_child_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{shutil.which('sleep')} 600 </dev/null >/dev/null 2>&1 &\necho $!\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    lines: list[str] = []

    ended = run_child(ChildOrder("any", {}, "none", tmp_path, (), (), 1 << 20, BUDGET), lines.append)

    assert (ended.exit_code, ended.breach) == (0, None)
    wait_until_gone(int(lines[0]))
