"""The one folder in which everything of a local Forebay lies: JSON files replaced atomically, the store, logs, scratch."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from forebay_operator.worlds.local.process_table import command_of

SOCKET_PATH_LIMIT: Final = 100
"""A Unix socket's path must stay below 108 characters; the longest name in the run folder takes some."""
_LONGEST_SOCKET_NAME: Final = 32


class StateError(Exception):
    """The state folder cannot be used; the message says why and what to do."""


def default_folder(environment: Mapping[str, str]) -> Path:
    """`$FOREBAY_STATE`, else `$XDG_STATE_HOME/forebay`, else `~/.local/state/forebay`."""
    if environment.get("FOREBAY_STATE"):
        return Path(environment["FOREBAY_STATE"])
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "forebay"


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; readers see the old or the new text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None: there is no such file, or it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Names of what lies where."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def conversions(self) -> Path:
        return self.root / "conversions"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def scratch(self) -> Path:
        """Emptied at each start: servers' and conversions' own files."""
        return self.root / "scratch"

    @property
    def groups(self) -> Path:
        """The process groups of the `forebay up` that runs, or ran last: lines `PID START_TIME`."""
        return self.root / "processes"

    @property
    def description(self) -> Path:
        """What `forebay up` says of itself to the other commands."""
        return self.root / "up.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StateError: this user cannot write there.
        """
        try:
            for folder in (self.root, self.store, self.objects, self.conversions, self.logs, self.scratch):
                folder.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o700)
        except OSError as error:
            raise StateError(f"the state folder {self.root} cannot be used ({error}): name another one with --state") from None

    def mark(self) -> str:
        """What the environment of all processes of this folder carries; no other folder of this machine has the same."""
        identity = self.root.stat()
        text = f"{identity.st_dev}:{identity.st_ino}:{self.root.resolve()}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@contextlib.contextmanager
def locked(folder: StateFolder) -> Generator[None]:
    """Hold the folder: one `forebay up` at a time.

    Raises:
        StateError: another one holds it; the message names its pid.
    """
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(_in_use(folder, os.read(descriptor, 32).decode(errors="replace").strip())) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _in_use(folder: StateFolder, pid: str) -> str:
    owner = f"pid {pid} ({command_of(int(pid))})" if pid.isdecimal() else "another process"
    return f"the state folder {folder.root} is in use by {owner}: end that one, or name another folder with --state"


def fresh_run_folder(folder: StateFolder) -> Path:
    """An empty folder for sockets and what lives as long as one `forebay up`: in the state folder, or, where paths would get
    too long for sockets, in the folder for temporary files under a name of the state folder's own.

    Raises:
        StateError: somebody else has put something under that name.
    """
    path = folder.root.resolve() / "run"
    if len(str(path)) + _LONGEST_SOCKET_NAME > SOCKET_PATH_LIMIT:
        path = Path(tempfile.gettempdir()) / f"forebay-{folder.mark()}"
    if path.is_symlink() or (path.exists() and path.stat().st_uid != os.getuid()):
        raise StateError(f"{path} belongs to somebody else: remove it, or name another folder with --state")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700, parents=True)
    return path
