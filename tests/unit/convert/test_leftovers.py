"""Collecting from, and removing, what a hostile process left."""

import hashlib
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forebay_convert.sandbox.collection import CollectionError, collect
from forebay_convert.sandbox.removal import remove_tree
from forebay_convert.sandbox.watchdog import Budget, Usage, check_disk, check_usage, usage_of

BUDGET = Budget(seconds=1, memory_bytes=1 << 20, disk_bytes=1 << 20, threads=4, entries=10)


@contextmanager
def opened(folder: Path) -> Generator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_a_plain_file_is_copied_and_its_copy_digested(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")

    with opened(tmp_path) as folder:
        digest = collect(folder, "model.onnx", tmp_path / "copy", 5)

    assert (tmp_path / "copy").read_bytes() == b"model"
    assert digest == hashlib.sha256(b"model").hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="files in /proc hold more than their size says")
def test_a_file_that_holds_more_than_its_size_says_is_refused(tmp_path: Path) -> None:
    with opened(Path("/proc/self")) as folder, pytest.raises(CollectionError, match=r"its status has \d+ bytes, more than"):
        collect(folder, "status", tmp_path / "copy", 10)


def _nothing(_: Path) -> None:
    """Nothing is left."""


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _hard_link(path: Path) -> None:
    (path.parent / "other").write_text("other")
    path.hardlink_to(path.parent / "other")


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_nothing, r"it left no model\.onnx"),
        (_link, r"its model\.onnx is no plain file"),
        (_hard_link, r"its model\.onnx is no plain file"),
        (os.mkfifo, r"its model\.onnx is no plain file"),
        (os.mkdir, r"its model\.onnx is no plain file"),
        (_large, r"its model\.onnx has 1099511627776 bytes, more than the 5 allowed"),
    ],
)
def test_anything_else_is_refused(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    make(tmp_path / "model.onnx")

    with opened(tmp_path) as folder, pytest.raises(CollectionError, match=message):
        collect(folder, "model.onnx", tmp_path / "copy", 5)
    assert not (tmp_path / "copy").exists()


def test_a_deep_locked_and_oddly_named_tree_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "file\n\x1b[2J").touch()
    (top / "locked").mkdir()
    (top / "locked" / "inner").mkdir()
    (top / "link").symlink_to(tmp_path)
    (top / "locked").chmod(0)
    inner = os.open(top, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d" * 100, dir_fd=inner)
        deeper = os.open("d" * 100, os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(inner)

    remove_tree(top)

    assert list(tmp_path.iterdir()) == []


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("usage", "kind"), [(Usage(1 << 20, 4), None), (Usage((1 << 20) + 1, 1), "memory"), (Usage(0, 5), "threads")]
)
def test_usage_is_a_breach_only_beyond_its_budget(usage: Usage, kind: str | None) -> None:
    breach = check_usage(usage, BUDGET)

    assert (breach.kind if breach else None) == kind


def test_the_usage_of_a_living_process_is_seen_and_of_a_gone_one_is_nothing() -> None:
    assert usage_of(os.getpid()).memory_bytes > 1 << 20
    assert usage_of(os.getpid()).threads >= 1
    assert usage_of(2**22 + 1) == Usage()


def test_files_beyond_the_budget_are_a_breach_in_bytes_and_in_number(tmp_path: Path) -> None:
    assert check_disk(str(tmp_path), BUDGET) is None
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    breach = check_disk(str(tmp_path), BUDGET)
    assert breach is not None
    assert (breach.seen, breach.allowed) == ("2 MiB", "1 MiB")
    (tmp_path / "large").unlink()
    for number in range(11):
        (tmp_path / str(number)).touch()
    breach = check_disk(str(tmp_path), BUDGET)
    assert breach is not None
    assert (breach.seen, breach.allowed) == ("11 files", "10 files")


def test_a_sparse_file_takes_only_what_it_takes_on_disk(tmp_path: Path) -> None:
    _large(tmp_path / "sparse")

    assert check_disk(str(tmp_path), BUDGET) is None
