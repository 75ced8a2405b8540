"""Folders of one conversion's own, gone when it ends; what a killed one left is removed by the next."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

from forebay_convert.sandbox.removal import remove_tree


@contextlib.contextmanager
def own_folder(parent: Path, prefix: str) -> Generator[Path]:
    """A new folder in `parent`, removed at the end unless it was renamed.

    It is locked as long as this process lives, so that others can tell it from one whose process was killed; those are
    removed here first.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(parent):
        _sweep(parent, prefix)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = _try_lock(folder)
    try:
        yield folder
    finally:
        remove_tree(folder)
        if lock is not None:
            os.close(lock)


@contextlib.contextmanager
def _exclusive(folder: Path) -> Generator[None]:
    """One at a time, where the file system has locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove folders of ours that nobody holds; where that cannot be told, they stay."""
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.geteuid():
                continue
            lock = _try_lock(folder)
            if lock is not None:
                remove_tree(folder)
                os.close(lock)


def _try_lock(folder: Path) -> int | None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
