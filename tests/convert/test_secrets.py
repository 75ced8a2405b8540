"""Where a conversion's secrets do not turn up: not in what it prints, answers, publishes or leaves, nor in what `ps` shows."""

import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from convert_commands import an_order, carry_out
from convert_onnx import a_network, saved
from convert_servers import object_server

TOKEN = "hunter2-in-the-address"
PASSWORD = "hunter2-in-the-environment"


def test_no_secret_is_printed_answered_published_left_or_shown(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with object_server() as server, command_lines() as seen:
        server.content["/model.onnx"] = saved(a_network(), tmp_path / "source").read_bytes()
        order = an_order(tmp_path / "store", f"{server.url}/model.onnx?token={TOKEN}")
        ran = carry_out(order, tmp_path, AWS_SECRET_ACCESS_KEY=PASSWORD)
    assert ran.status == 0, ran.errors
    (tmp_path / "order.json").unlink()
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.is_relative_to(tmp_path / "store") for path in left)
    found = {str(path) for path in left for secret in (TOKEN, PASSWORD) if secret.encode() in path.read_bytes()}
    assert found == set()
    said = {"output": ran.output, "errors": ran.errors, **seen}
    assert {where for where, text in said.items() if TOKEN in text or PASSWORD in text} == set()
    assert any("forebay_convert" in where for where in seen)


def test_nobody_else_may_write_what_is_published(tmp_path: Path) -> None:
    ran = carry_out(an_order(tmp_path / "store", saved(a_network(), tmp_path)), tmp_path)
    assert ran.status == 0, ran.errors
    published = list((tmp_path / "store").rglob("*"))
    assert published
    assert [path for path in published if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)] == []


@contextmanager
def command_lines() -> Generator[dict[str, str]]:
    """The command lines of all processes of this machine that ran during the block, as far as they were caught."""
    seen: dict[str, str] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                seen[f"command line of {process.name}: {line[:200]}"] = line

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
