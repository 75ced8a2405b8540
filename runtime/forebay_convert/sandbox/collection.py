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
        return _copy(descriptor, target)
    finally:
        os.close(descriptor)


def _check(facts: os.stat_result, name: str, limit: int) -> None:
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        raise CollectionError(f"its {name} is no plain file")
    if facts.st_size > limit:
        raise CollectionError(f"its {name} has {facts.st_size} bytes, more than the {limit} allowed")


def _copy(descriptor: int, target: Path) -> str:
    digest = hashlib.sha256()
    with open(target, "xb") as copy:
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()
