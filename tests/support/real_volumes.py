"""Small file systems of a test's own, that can really be full and really be read-only.

They are mounted in a mount namespace that a process keeps which does nothing else; where the tests are not run by root, in a
user namespace as well. Programs are run within it; the tests see into it through that process's place in /proc.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Volume:
    """A mounted file system; `path` is where programs have it that are run `within`."""

    path: Path
    keeper: int

    @property
    def within(self) -> tuple[str, ...]:
        """What stands before the command of a program that has the volume."""
        entered: tuple[str, ...] = ("nsenter", f"--mount=/proc/{self.keeper}/ns/mnt")
        if os.geteuid() != 0:
            entered = (*entered, f"--user=/proc/{self.keeper}/ns/user", "--preserve-credentials")
        # It would go to the root folder of the namespace.
        return (*entered, f"--wd={Path.cwd()}")

    @property
    def seen(self) -> Path:
        """The same folder, for the tests."""
        return Path(f"/proc/{self.keeper}/root{self.path}")

    def fill(self, left: int = 0) -> None:
        """Leave room for so many bytes only, in whole pages."""
        found = os.statvfs(self.seen)
        with (self.seen / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, found.f_bavail * found.f_frsize - left)

    def make_room(self) -> None:
        (self.seen / "ballast").unlink()

    def set_read_only(self) -> None:
        self._remount("ro")

    def set_writable(self) -> None:
        self._remount("rw")

    def _remount(self, options: str) -> None:
        subprocess.run([*self.within, "mount", "-o", f"remount,{options}", str(self.path)], check=True)


@contextmanager
def volume(path: Path, size_bytes: int, within: Sequence[str] = ()) -> Generator[Volume]:
    """An empty volume of this size, gone with the block. `within`: that of another one, to have both."""
    path.mkdir(parents=True, exist_ok=True)
    command = [*within, *_mounting(path, size_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "mounted\n"
        yield Volume(path, keeper.pid)


@cache
def why_not() -> str:
    """Why there are no volumes of our own here; empty where there are."""
    missing = [name for name in ("unshare", "nsenter", "mount") if shutil.which(name) is None]
    if missing:
        return f"there is no {' and no '.join(missing)} here"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(_mounting(Path(folder), MIB), input="", capture_output=True, text=True, check=False)
    return "" if tried.stdout == "mounted\n" else f"this machine lets us mount nothing: {tried.stderr.strip()}"


def _mounting(path: Path, size_bytes: int) -> Sequence[str]:
    """Mounts, says so, and stays until its input ends."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    script = 'mount -t tmpfs -o "size=$1,mode=700" forebay-test "$2" && echo mounted && exec cat'
    return ["unshare", *user, "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(size_bytes), str(path)]
