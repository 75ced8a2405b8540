"""How well this machine can isolate a conversion, and whether that is enough for a source."""

import ctypes
import os
import platform
import struct
import sys

from forebay_convert.failures import ConversionError, refusal
from forebay_convert.sandbox import kernel, landlock
from forebay_schema.manifest import SandboxLevel

_SECCOMP_GET_ACTION_AVAIL = 2
_RETURN_KILL_PROCESS = 0x80000000

_REMEDY = "Convert in a cluster or a Linux container, or pass --trust-source if you made the file."


def available_level() -> SandboxLevel:
    """`full` with Landlock and seccomp, `no-filesystem` with seccomp alone (as in gVisor), else `none`."""
    if kernel.architecture() is None or not _has_seccomp():
        return "none"
    return "full" if landlock.abi() > 0 else "no-filesystem"


def _has_seccomp() -> bool:
    action = struct.pack("I", _RETURN_KILL_PROCESS)
    answer = kernel.try_call("seccomp", ctypes.c_uint(_SECCOMP_GET_ACTION_AVAIL), ctypes.c_uint(0), action)
    return answer == 0


def in_a_pod() -> bool:
    """A pod holds nothing but the conversion, so less isolation is enough there than on a laptop."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def check_level(level: SandboxLevel, *, runs_code: bool, trusted: bool, pod: bool) -> None:
    """Refuse a source that this machine cannot isolate well enough.

    | level         | source runs code | data only                     |
    |---------------|------------------|-------------------------------|
    | full          | yes              | yes                           |
    | no-filesystem | in a pod         | yes                           |
    | none          | no               | yes                           |
    | any           | yes, with --trust-source (the user made the file)|

    Raises:
        ConversionError: it must not be opened here; says why and what to do.
    """
    if level == "full" or trusted or not runs_code or (level == "no-filesystem" and pod):
        return
    raise ConversionError(
        refusal(
            "load",
            f"This machine cannot isolate the conversion: {_lack(level)}. A pickle can run any code as you.",
            _REMEDY,
        )
    )


def _lack(level: SandboxLevel) -> str:
    if level == "no-filesystem":
        return "its kernel has no Landlock, so the source could read and write your files"
    if sys.platform != "linux":
        system = "macOS" if sys.platform == "darwin" else platform.system()
        return f"{system} has neither Landlock nor seccomp"
    return f"its kernel offers no seccomp, or its architecture ({platform.machine()}) is not supported"
