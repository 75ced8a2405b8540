"""Landlock: the kernel refuses this process every file that was not granted to it.

The interface is Linux's `include/uapi/linux/landlock.h`; which rights a kernel knows depends on its Landlock ABI.
"""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

from forebay_convert.sandbox import kernel

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_REMOVE_DIR = 1 << 4
_REMOVE_FILE = 1 << 5
_MAKE_DIR = 1 << 7
_MAKE_REG = 1 << 8
_REFER = 1 << 13
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15

_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_A_PLAIN_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_FIRST_RIGHTS = (1 << 13) - 1
_RIGHTS_SINCE_ABI = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
_TCP_BIND_AND_CONNECT = 3
_SCOPED_SIGNALS_AND_ABSTRACT_SOCKETS = 3

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1


def abi() -> int:
    """The kernel's Landlock ABI; 0 where there is none, whatever the reason (old, switched off, refused by a runtime)."""
    if kernel.architecture() is None:
        return 0
    version = kernel.try_call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    return max(version, 0)


def handled_rights(version: int) -> int:
    """Every right that a kernel of this ABI can refuse."""
    rights = _FIRST_RIGHTS
    for since, right in _RIGHTS_SINCE_ABI:
        rights |= right if version >= since else 0
    return rights


def ruleset_attribute(version: int) -> bytes:
    """`struct landlock_ruleset_attr`, as long as this ABI knows it: a longer one is refused with E2BIG."""
    network = _TCP_BIND_AND_CONNECT if version >= 4 else 0  # noqa: PLR2004 - ABI numbers are explained by the tables above
    scoped = _SCOPED_SIGNALS_AND_ABSTRACT_SOCKETS if version >= 6 else 0  # noqa: PLR2004
    size = 8 if version < 4 else 16 if version < 6 else 24  # noqa: PLR2004
    return struct.pack("QQQ", handled_rights(version), network, scoped)[:size]


def restrict(read: Iterable[str], write: Iterable[str]) -> int:
    """Confine this thread, and the threads it will start, to these files and folders; the ABI that is in force.

    `no_new_privs` must be set. Paths that do not exist are passed over. Running programs, and making links, sockets,
    fifos or devices, is granted nowhere.

    Raises:
        OSError: the kernel has Landlock and refused it.
    """
    version = abi()
    if version == 0:
        return 0
    attribute = ruleset_attribute(version)
    ruleset = kernel.call("landlock_create_ruleset", attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint32(0))
    for path in read:
        _grant(ruleset, path, _READ & handled_rights(version))
    for path in write:
        _grant(ruleset, path, _WRITE & handled_rights(version))
    kernel.call("landlock_restrict_self", ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)
    return version


def _grant(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        # A right that only folders have is refused for a plain file.
        allowed = rights if os.path.isdir(path) else rights & _OF_A_PLAIN_FILE
        rule = struct.pack("=Qi", allowed, descriptor)
        kernel.call("landlock_add_rule", ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), rule, ctypes.c_uint32(0))
        os.close(descriptor)
