"""Conversions that are ended in the middle: nothing of them runs on, and the store is whole."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import convert_hostile as attacks
from convert_commands import PATIENCE_S, an_order, carry_out, command
from convert_hostile import hostile_file
from convert_onnx import a_network, saved
from forebay_schema.conversion import ConversionOrder, ConversionResult


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def start(order: ConversionOrder, folder: Path) -> "subprocess.Popen[str]":
    path = folder / "order.json"
    if not path.exists():
        path.write_text(order.to_json())
    arguments = command("--order", path, "--work", folder / "work")
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def ended_while_converting(folder: Path, number: signal.Signals) -> int:
    """Start a conversion that takes for ever, end it by a signal once it converts, and wait for all of it; its status."""
    order = an_order(folder / "store", hostile_file(folder, attacks.SLEEP))
    with start(order, folder) as parent:
        try:
            wait_until(lambda: bool(children_of(parent.pid)), "the conversion starts its process")
            (child,) = children_of(parent.pid)
            os.kill(parent.pid, number)
            status = parent.wait(PATIENCE_S)
            wait_until(lambda: not is_running(child), "the process ends with its parent")
        finally:
            parent.kill()
    assert not list((folder / "store").rglob("*.json"))
    return status


def test_a_killed_conversion_takes_its_processes_along_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    assert ended_while_converting(tmp_path, signal.SIGKILL) == -signal.SIGKILL
    assert list((tmp_path / "work").iterdir())

    ran = carry_out(an_order(tmp_path / "store", saved(a_network(), tmp_path)), tmp_path)

    assert ran.status == 0, ran.errors
    assert not list((tmp_path / "work").iterdir())


def test_a_conversion_that_is_asked_to_end_leaves_nothing(tmp_path: Path) -> None:
    assert ended_while_converting(tmp_path, signal.SIGTERM) == 128 + signal.SIGTERM

    assert not list((tmp_path / "work").iterdir())


def test_two_conversions_of_the_same_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", saved(a_network(), tmp_path))
    with start(order, tmp_path) as one, start(order, tmp_path) as other:
        results = [ConversionResult.from_json(process.communicate(timeout=PATIENCE_S)[0]) for process in (one, other)]

    assert [result.failure for result in results] == [None, None]
    published = {path.name for path in (tmp_path / "store" / "default" / "artifacts").iterdir()}
    assert {result.artifact for result in results} <= published
    assert not [name for name in published if name.startswith(".")]
