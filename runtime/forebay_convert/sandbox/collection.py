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
    with open(descriptor, "rb") as source:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            raise CollectionError(f"its {name} is no plain file")
        if facts.st_size > limit:
            raise CollectionError(f"its {name} has {facts.st_size} bytes, more than the {limit} allowed")
        with open(target, "xb") as copy:
            digest = hashlib.sha256()
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
    return digest.hexdigest()
