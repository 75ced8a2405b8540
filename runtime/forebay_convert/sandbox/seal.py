"""Sealing: a fresh, still single-threaded process gives up for good all that opening a hostile file does not need."""

import ctypes
import os
import resource
import signal
import struct
import sys

from forebay_convert.sandbox import kernel, landlock, seccomp
from forebay_convert.sandbox.policy import ProcessLimits, SealPolicy

PARENT_GONE = 70
"""Exit status of a child whose parent died before the child was tied to it."""
UNSEALED = 71
"""Exit status of a child that could not be sealed; its last words are on standard error."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


class SealError(Exception):
    """The process cannot be sealed as its policy wants; it must not go on."""


def seal_or_exit(policy: SealPolicy) -> None:
    """Put the policy in force, or end this process: it must not go on half sealed."""
    try:
        seal(policy)
    except (SealError, OSError, NotImplementedError) as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(UNSEALED)


def seal(policy: SealPolicy) -> None:
    """Put the policy in force. To be called before the first import that may start a thread.

    Raises:
        SealError: there is more than one thread, or the kernel lacks what the policy's level promises.
        OSError: the kernel refused a step.
    """
    if sys.platform != "linux":
        _set_limits(policy.limits)
        return
    if len(os.listdir("/proc/self/task")) != 1:
        raise SealError("a process is sealed before its first thread: Landlock binds the calling thread only")
    _die_with(policy.parent)
    _set_limits(policy.limits)
    _be_killed_first()
    if policy.level != "none":
        _restrict(policy)


def _restrict(policy: SealPolicy) -> None:
    known = kernel.architecture()
    if known is None:
        raise SealError("the system call numbers of this architecture are not known")
    # RLIMIT_CORE does not stop a core_pattern that is a pipe; this does, and it closes /proc/self/environ as well.
    kernel.prctl(_PR_SET_DUMPABLE, 0)
    kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() == 0:
        _drop_capabilities()
    version = landlock.restrict(policy.read, policy.write)
    if version == 0 and policy.level == "full":
        raise SealError("this kernel has no Landlock")
    seccomp.install(known)


def _die_with(parent: int) -> None:
    """The kernel kills this process when its parent's *thread* ends; a parent that is already gone is noticed here."""
    kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(PARENT_GONE)


def _set_limits(limits: ProcessLimits) -> None:
    wanted = {
        "RLIMIT_DATA": limits.data_bytes,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": 64,
    }
    for name, value in wanted.items():
        which: int | None = getattr(resource, name, None)
        if which is not None:
            resource.setrlimit(which, _within_the_hard_limit(which, value))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))


def _within_the_hard_limit(which: int, value: int) -> tuple[int, int]:
    _, hard = resource.getrlimit(which)
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return allowed, allowed


def _be_killed_first() -> None:
    """Where the machine runs out of memory, this process goes before its parent."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _drop_capabilities() -> None:
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    kernel.call("capset", ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))
