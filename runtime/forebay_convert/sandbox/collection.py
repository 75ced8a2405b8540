"""Takes files out of a hostile process's folder after its death, without following anything, as copies of its own."""

import hashlib
import os
import stat
from pathlib import Path

_CHUNK = 1 << 20


class CollectionError(Exception):
    """What lies there is no plain file within its limit; the message says what it is instead."""


def collect(folder: int, name: str, target: Path, limit: int) -> str:
    """Copy one file out of a folder that was opened before the process started; the SHA-256 of the copied bytes.

    Raises:
        CollectionError: it is missing, a link, a device, a fifo, a folder, or larger than `limit`.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise CollectionError(f"it left no {name}") from None
    except OSError as error:
        raise CollectionError(f"its {name} is no plain file ({error.strerror})") from None
    try:
        _check(os.fstat(descriptor), name, limit)
        return _copy(descriptor, target, name, limit)
    finally:
        os.close(descriptor)


def _check(facts: os.stat_result, name: str, limit: int) -> None:
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        raise CollectionError(f"its {name} is no plain file")
    _check_size(facts.st_size, name, limit)


def _check_size(size: int, name: str, limit: int) -> None:
    if size > limit:
        raise CollectionError(f"its {name} has {size} bytes, more than the {limit} allowed")


def _copy(descriptor: int, target: Path, name: str, limit: int) -> str:
    """Counts what it copies: a file may hold more than its size says, or grow while something still writes to it."""
    digest, size = hashlib.sha256(), 0
    with open(target, "xb") as copy:
        while chunk := os.read(descriptor, _CHUNK):
            size += len(chunk)
            _check_size(size, name, limit)
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()
