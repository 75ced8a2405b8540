"""The logs of processes: one file each, bounded, with one older generation beside it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 8 << 20
MOST_FILES: Final = 200
_TAIL_BYTES: Final = 64 << 10


def open_for_appending(path: Path) -> int:
    """A descriptor for a child's output. Appending: what is written after a rotation goes to the new end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def rotate(folder: Path, most_bytes: int = MOST_BYTES) -> None:
    """Move what a file holds to its older generation, once it is too long. The writer keeps its descriptor, so the file is
    copied and emptied; a line written in between is lost."""
    for path in folder.glob("*.log"):
        if path.stat().st_size > most_bytes:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)


def forget_old(folder: Path, most_files: int = MOST_FILES) -> None:
    """Delete the logs that were written to longest ago, past the number that is kept."""
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in logs[most_files:]:
        path.unlink(missing_ok=True)
        path.with_suffix(".log.1").unlink(missing_ok=True)


def last_line(path: Path) -> str:
    """The last line that says something; empty: there is none."""
    return next((line for line in reversed(list(tail(path))) if line.strip()), "")


def tail(path: Path) -> Iterator[str]:
    """The last lines of a file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            yield from file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return
