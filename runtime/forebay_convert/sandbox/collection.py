"""Takes files out of a hostile process's folder after its death, without following anything, as copies of our own."""

import hashlib
import os
import stat
from pathlib import Path

_CHUNK = 1 << 20


class CollectionError(Exception):
    """What lies there is no plain file within its limit; the message says what it is instead."""


def open_folder(path: Path, parent: int | None = None) -> int:
    """A descriptor of a folder in which a hostile process may have written. Its own name is not followed if it is a link.

    Raises:
        CollectionError: it is missing, or no folder.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        raise CollectionError(f"its folder {path.name} is no folder ({error.strerror})") from None


def collect(folder: int, name: str, target: Path, limit: int) -> str:
    """Copy one file out of an opened folder; the SHA-256 of the copied bytes.

    Raises:
        CollectionError: it is missing, a link, a device, a fifo, a folder, or larger than `limit`.
    """
    descriptor = _open_plain(folder, name, limit)
    try:
        return _copy(descriptor, target, name, limit)
    finally:
        os.close(descriptor)


def read(folder: int, name: str, limit: int) -> bytes:
    """The content of one small file in an opened folder.

    Raises:
        CollectionError: as `collect`.
    """
    descriptor = _open_plain(folder, name, limit)
    try:
        content = os.read(descriptor, limit + 1)
    finally:
        os.close(descriptor)
    _check_size(len(content), name, limit)
    return content


def _open_plain(folder: int, name: str, limit: int) -> int:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise CollectionError(f"it left no {name}") from None
    except OSError as error:
        raise CollectionError(f"its {name} is no plain file ({error.strerror})") from None
    try:
        _check(os.fstat(descriptor), name, limit)
    except CollectionError:
        os.close(descriptor)
        raise
    return descriptor


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
