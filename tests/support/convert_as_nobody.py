"""Runs a program as a user that owns nothing, in a mount namespace of its own where it can reach our files."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

NOBODY: Final = 65534
_ROOT: Final = Path(__file__).parents[2]


def why_not() -> str:
    """Why no program can be run as somebody else here; empty where it can."""
    if os.geteuid() != 0:
        return "only root can run programs as another user: run the tests as root for that"
    missing = [name for name in ("unshare", "mount", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"there is no {' and no '.join(missing)} here"
    with tempfile.TemporaryDirectory() as stash:
        tried = subprocess.run(as_nobody(["true"], Path(stash)), capture_output=True, text=True, check=False)
    return f"this machine lets root make no mount namespace: {tried.stderr.strip()}" if tried.returncode else ""


def as_nobody(command: Sequence[str], stash: Path) -> list[str]:
    """The command, run by nobody; `stash`: an empty folder that only root sees into, for what is mounted meanwhile."""
    script = ["set -e", *_opened(stash)]
    identity = f"--reuid={NOBODY} --regid={NOBODY} --clear-groups --no-new-privs"
    script.append(f"exec setpriv {identity} {shlex.join(command)}")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script)]


def _opened(stash: Path) -> list[str]:
    """What makes our own folders reachable whose parents are closed to others: a home of root's, mostly."""
    needed = sorted({Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), _ROOT})
    lines: list[str] = []
    for number, (closed, below) in enumerate(_closed(needed).items()):
        kept = shlex.quote(str(stash / str(number)))
        lines += [f"mkdir -p {kept}", f"mount --bind {shlex.quote(str(closed))} {kept}"]
        lines.append(f"mount -t tmpfs -o mode=755 none {shlex.quote(str(closed))}")
        for path in below:
            inside = shlex.quote(str(path.relative_to(closed)))
            target = shlex.quote(str(path))
            lines += [f"mkdir -p {target}", f"mount --bind {kept}/{inside} {target}"]
    return lines


def _closed(needed: Sequence[Path]) -> dict[Path, list[Path]]:
    """The outermost folders that others may not pass, and what is needed of those below them."""
    found: dict[Path, list[Path]] = {}
    for path in needed:
        closed = [parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001]
        if closed:
            found.setdefault(closed[0], []).append(path)
    return found
