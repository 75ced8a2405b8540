"""The run directory: private to this user, of one gateway at a time."""

import fcntl
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from forebay_gateway.settings import SettingsError


def private_folder(path: Path) -> None:
    """Make a folder that only this user can look into; one that is there must be this user's.

    Raises:
        SettingsError: it belongs to someone else, or cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise SettingsError(f"the folder {path} cannot be used: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise SettingsError(f"{path} is not a folder of this user: remove it, or choose another --run-dir")
    path.chmod(0o700)


@contextmanager
def lock(path: Path) -> Generator[None]:
    """Hold a lock until the end; the system lets go of it when the process ends in whatever way.

    Raises:
        SettingsError: another process holds it.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise SettingsError(
                f"another gateway (process {owner}) runs in {path.parent}: stop it, or choose another --run-dir"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def unlink_stale(path: Path) -> None:
    """Remove a socket that a former process left.

    Raises:
        SettingsError: what is there is no socket, or cannot be removed.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SettingsError(f"{path} is there and is no socket: remove it, or choose another path")
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SettingsError(f"the old socket {path} cannot be removed: {error.strerror}") from None
