"""Runs one sealed child: starts it with nothing, watches it, drains its pipes within bounds, kills it, and says why.

The parent believes nothing that the child says; what a child prints is for display, or a claim to be checked.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import forebay_convert
from forebay_convert.sandbox.policy import ProcessLimits, SealPolicy
from forebay_convert.sandbox.watchdog import Breach, Budget, check_disk, check_usage, usage_of

_LOOK_EVERY_S = 0.05
_LOOK_AT_DISK_EVERY_S = 0.25
_CHUNK = 64 << 10
_LONGEST_LINE = 8 << 10
_FLOOD_FACTOR = 100
_ALLOCATOR_HEADROOM = 1 << 30
"""RLIMIT_DATA counts what is reserved, the watchdog what is used."""

_SYSTEM_FILES = (
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/dev/urandom",
    "/dev/zero",
)

_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": "/nonexistent",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "JOBLIB_MULTIPROCESSING": "0",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "ORT_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True, slots=True)
class ChildOrder:
    """One child: the module it runs, its task, and what it may touch."""

    module: str
    task: Mapping[str, object]
    level: str
    work: Path
    """Its current, home and temporary folder."""
    read: tuple[Path, ...]
    write: tuple[Path, ...]
    file_bytes: int
    budget: Budget


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. `exit_code` is negative where a signal ended it; `breach` says why its parent killed it."""

    exit_code: int
    breach: Breach | None
    seconds: float
    output: str
    errors: str


def run_child(order: ChildOrder, on_line: Callable[[str], None]) -> Ended:
    """Run a child to its end; at the latest when it passes its budget. Neither it nor its session outlives this call.

    To be called from a thread that lives on: the kernel kills the child when the thread that started it ends.
    """
    started = time.monotonic()
    child = _start(order)
    try:
        streams = _Streams(child, order.budget.tail_bytes, on_line)
        breach = _watch(child, streams, order, started)
    finally:
        _kill_with_children(child)
        exit_code = child.wait()
    streams.drain()
    return Ended(exit_code, breach, time.monotonic() - started, *streams.texts())


def _start(order: ChildOrder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", "-m", order.module, _policy(order).to_json(), json.dumps(order.task)],
        env={**_ENVIRONMENT, "HOME": str(order.work), "TMPDIR": str(order.work)},
        cwd=order.work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        close_fds=True,
    )


def _kill_with_children(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole session: where nothing seals it, it may have started others, which outlive its own end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _policy(order: ChildOrder) -> SealPolicy:
    limits = ProcessLimits(
        data_bytes=order.budget.memory_bytes + _ALLOCATOR_HEADROOM,
        cpu_seconds=int(order.budget.seconds * (os.cpu_count() or 1)) + 1,
        file_bytes=order.file_bytes,
    )
    read = (*_SYSTEM_FILES, *_interpreter_folders(), *map(str, order.read))
    return SealPolicy(os.getpid(), read, ("/dev/null", *map(str, order.write)), limits, order.level)


def _interpreter_folders() -> list[str]:
    """Python's own files and our package's. `LIBDIR` is stale where an interpreter was moved, `base_prefix` is not."""
    paths = sysconfig.get_paths()
    ours = os.path.dirname(os.path.abspath(forebay_convert.__file__))
    return sorted({*(paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")), f"{sys.base_prefix}/lib", ours})


def _watch(child: subprocess.Popen[bytes], streams: "_Streams", order: ChildOrder, started: float) -> Breach | None:
    budget, next_disk = order.budget, 0.0
    while child.poll() is None:
        streams.read(child, _LOOK_EVERY_S)
        now = time.monotonic()
        breach = streams.flood() or check_usage(usage_of(child.pid), budget)
        if breach is None and now - started > budget.seconds:
            breach = Breach("time", f"{now - started:.0f} s", f"{budget.seconds:.0f} s")
        if breach is None and now >= next_disk:
            next_disk = now + _LOOK_AT_DISK_EVERY_S
            breach = check_disk(str(order.work), budget)
        if breach is not None:
            return breach
    # What a short-lived child left behind is looked at as well.
    return check_disk(str(order.work), budget)


@dataclass(slots=True)
class _Stream:
    file: IO[bytes]
    tail: bytearray = field(default_factory=bytearray)
    seen: int = 0
    open: bool = True

    def take(self, keep: int) -> bytes:
        try:
            chunk = os.read(self.file.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        self.open = bool(chunk)
        self.seen += len(chunk)
        self.tail = (self.tail + chunk)[-keep:]
        return chunk


class _Streams:
    """A child's standard output and error: a bounded tail of each, and its output line by line while it runs."""

    def __init__(self, child: subprocess.Popen[bytes], keep: int, on_line: Callable[[str], None]) -> None:
        if child.stdout is None or child.stderr is None:
            raise ValueError("a child is supervised through its pipes")
        self._output, self._errors = _Stream(child.stdout), _Stream(child.stderr)
        self._keep, self._on_line = keep, on_line
        self._line = bytearray()
        for stream in self._all():
            os.set_blocking(stream.file.fileno(), False)

    def read(self, child: subprocess.Popen[bytes], timeout_s: float) -> None:
        """Take what there is; wait at most this long for it, or for the child's end."""
        streams = {stream.file.fileno(): stream for stream in self._all() if stream.open}
        if not streams:
            _wait(child, timeout_s)
            return
        ready, _, _ = select.select(list(streams), [], [], timeout_s)
        for descriptor in ready:
            self._take(streams[descriptor])

    def drain(self) -> None:
        """Take what is left after the child's end, and close the pipes."""
        for stream in self._all():
            while stream.open and self._take(stream):
                pass
            stream.file.close()

    def flood(self) -> Breach | None:
        most, seen = _FLOOD_FACTOR * self._keep, max(stream.seen for stream in self._all())
        return Breach("output", f"{seen >> 20} MiB", f"{most >> 20} MiB") if seen > most else None

    def texts(self) -> tuple[str, str]:
        output, errors = (bytes(stream.tail).decode("utf-8", "replace") for stream in self._all())
        return output, errors

    def _all(self) -> tuple[_Stream, _Stream]:
        return self._output, self._errors

    def _take(self, stream: _Stream) -> bytes:
        chunk = stream.take(self._keep)
        if stream is self._output:
            self._tell_lines(chunk)
        return chunk

    def _tell_lines(self, chunk: bytes) -> None:
        *whole, rest = (bytes(self._line) + chunk).split(b"\n")
        self._line = bytearray(rest[-_LONGEST_LINE:])
        for line in whole:
            self._on_line(line[:_LONGEST_LINE].decode("utf-8", "replace"))


def _wait(child: subprocess.Popen[bytes], timeout_s: float) -> None:
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return
