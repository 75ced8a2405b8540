"""Raw system calls by ctypes, for what Python's `os` does not offer."""

import ctypes
import os
import platform
import sys

from forebay_convert.sandbox.syscalls import ARCHITECTURES, Architecture

_libc = ctypes.CDLL(None, use_errno=True)


def architecture() -> Architecture | None:
    """This machine's architecture, or None where the sandbox does not know the system or its call numbers."""
    return ARCHITECTURES.get(platform.machine()) if sys.platform == "linux" else None


def try_call(name: str, *arguments: object) -> int:
    """Make a system call; the negated errno if it fails."""
    known = architecture()
    if known is None:
        raise NotImplementedError(f"no system call numbers for {sys.platform} on {platform.machine()}")
    result: int = _libc.syscall(ctypes.c_long(known.numbers[name]), *arguments)
    return result if result >= 0 else -ctypes.get_errno()


def call(name: str, *arguments: object) -> int:
    """Make a system call.

    Raises:
        OSError: it failed.
    """
    result = try_call(name, *arguments)
    if result < 0:
        raise OSError(-result, f"{name}: {os.strerror(-result)}")
    return result


def prctl(option: int, value: int) -> None:
    """`prctl(option, value, 0, 0, 0)`.

    Raises:
        OSError: it failed.
    """
    call("prctl", *(ctypes.c_ulong(argument) for argument in (option, value, 0, 0, 0)))
