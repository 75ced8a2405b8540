"""Notes what a source tries while it is opened, so that a failure can be told in words.

This is for the message only: the sandbox is what refuses, and code that hides from Python's audit events hides here too.
"""

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

_MOST = 20
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_NETWORK = "open a network connection"
_PROCESS = "start a process"
_CHANGE = "change files"
_WHAT = {
    "socket.__new__": _NETWORK,
    "socket.connect": _NETWORK,
    "socket.bind": _NETWORK,
    "socket.getaddrinfo": _NETWORK,
    "socket.gethostbyname": _NETWORK,
    "os.system": _PROCESS,
    "os.exec": _PROCESS,
    "os.fork": _PROCESS,
    "os.forkpty": _PROCESS,
    "os.posix_spawn": _PROCESS,
    "os.spawn": _PROCESS,
    "subprocess.Popen": _PROCESS,
    "pty.spawn": _PROCESS,
    "os.kill": "send a signal to a process",
    "os.remove": _CHANGE,
    "os.rename": _CHANGE,
    "os.rmdir": _CHANGE,
    "os.truncate": _CHANGE,
    "os.link": _CHANGE,
    "os.symlink": _CHANGE,
    "os.chmod": _CHANGE,
    "os.chown": _CHANGE,
}


class Attempts:
    """What was tried, in words: `harmful` no model needs to load, `reads` are files outside those granted."""

    def __init__(self, readable: Sequence[str], writable: str) -> None:
        self.harmful: list[str] = []
        self.reads: list[str] = []
        self._readable = tuple(dict.fromkeys(path for each in readable for path in (each, os.path.realpath(each))))
        self._writable = os.path.realpath(writable)
        self._watching = False
        sys.addaudithook(self._audit)

    @contextmanager
    def watched(self) -> Generator[None]:
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event == "open":
            self._note_open(*arguments[:3])
        elif event in _WHAT and not self._is_own(event, arguments):
            _note(self.harmful, _WHAT[event])

    def _is_own(self, event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether it is a change to a file of its own, or a signal to itself."""
        if event == "os.kill":
            return bool(arguments) and arguments[0] == os.getpid()
        return _WHAT[event] == _CHANGE and isinstance(arguments[0], str) and self._is_under(arguments[0], self._writable)

    def _note_open(self, path: object, _mode: object, flags: object) -> None:
        if not isinstance(path, (str, bytes)):
            return
        name = os.fsdecode(path)
        if isinstance(flags, int) and flags & _WRITING:
            if not self._is_under(name, self._writable, os.devnull):
                _note(self.harmful, f"write {name}")
        elif not self._is_under(name, self._writable, *self._readable):
            _note(self.reads, f"read {name}")

    @staticmethod
    def _is_under(name: str, *folders: str) -> bool:
        path = os.path.abspath(name)
        return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _note(attempts: list[str], what: str) -> None:
    if what not in attempts and len(attempts) < _MOST:
        attempts.append(what)


def in_words(attempts: Sequence[str]) -> str:
    """`read /etc/passwd, and start a process`."""
    shown = list(dict.fromkeys(attempts))[:3]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
