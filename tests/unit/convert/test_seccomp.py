import errno
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert_bpf import ALLOW, KILL, verdict
from forebay_convert.sandbox.seccomp import build, rules
from forebay_convert.sandbox.syscalls import ARCHITECTURES, Architecture

PID = 4711
OTHER = 4712
X86 = ARCHITECTURES["x86_64"]
PROGRAMS = {name: build(architecture, PID) for name, architecture in ARCHITECTURES.items()}


def asked(name: str, *arguments: int, architecture: Architecture = X86) -> str | int:
    return verdict(PROGRAMS[architecture.name], architecture.audit, architecture.numbers[name], arguments)


@pytest.mark.parametrize("name", ["read", "write", "openat", "mmap", "futex", "exit_group", "clock_gettime", "unlink"])
def test_what_computing_needs_is_allowed(name: str) -> None:
    assert asked(name) == ALLOW


@pytest.mark.parametrize(
    "name",
    ["socket", "connect", "execve", "fork", "vfork", "ptrace", "io_uring_setup", "bpf", "symlink", "truncate", "setsid"],
)
def test_what_only_an_attack_needs_is_refused(name: str) -> None:
    assert asked(name) == errno.EPERM


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (0x3D0F00,), ALLOW),  # what glibc passes for a thread
        ("clone", (signal.SIGCHLD,), errno.EPERM),
        ("clone", (0x10000 | 0x10000000,), errno.EPERM),  # a thread in a new user namespace
        ("clone3", (), errno.ENOSYS),
        ("kill", (PID, 9), ALLOW),
        ("kill", (OTHER, 9), errno.EPERM),
        ("kill", (0xFFFFFFFFFFFFFFFF, 15), errno.EPERM),
        ("tgkill", (PID, PID, 6), ALLOW),
        ("tgkill", (OTHER, OTHER, 6), errno.EPERM),
        ("prctl", (15,), ALLOW),
        ("prctl", (1,), errno.EPERM),  # PR_SET_PDEATHSIG
        ("prctl", (4,), errno.EPERM),  # PR_SET_DUMPABLE
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), errno.ENOTTY),  # TIOCSTI
        ("fcntl", (0, 1), ALLOW),
        ("fcntl", (0, 8), errno.EPERM),  # F_SETOWN
        ("fcntl", (0, 10), errno.EPERM),  # F_SETSIG
        ("prlimit64", (0, 7, 0, 1), ALLOW),
        ("prlimit64", (0, 7, 1, 0), errno.EPERM),
        ("prlimit64", (0, 7, 1 << 32, 0), errno.EPERM),
        ("prlimit64", (OTHER, 7, 0, 1), errno.EPERM),
        ("openat", (0, 0, os.O_RDONLY), ALLOW),
        ("openat", (0, 0, os.O_WRONLY | os.O_TRUNC), ALLOW),  # Landlock decides
        ("openat", (0, 0, os.O_RDONLY | os.O_TRUNC), errno.EPERM),
        ("open", (0, os.O_RDONLY | os.O_TRUNC), errno.EPERM),
        ("chmod", (), 0),
        ("fchmodat2", (), 0),
        ("getxattr", (), errno.ENOTSUP),
    ],
)
def test_some_calls_are_judged_by_their_arguments(name: str, arguments: tuple[int, ...], expected: str | int) -> None:
    assert asked(name, *arguments) == expected


@given(st.integers(470, 0x3FFFFFFF))
def test_calls_of_kernels_to_come_do_not_exist(number: int) -> None:
    assert verdict(PROGRAMS["x86_64"], X86.audit, number) == errno.ENOSYS


@given(st.integers(0x40000000, 0xFFFFFFFF))
def test_calls_of_the_x32_kind_kill(number: int) -> None:
    assert verdict(PROGRAMS["x86_64"], X86.audit, number) == KILL


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=str)
def test_calls_of_another_architecture_kill(architecture: Architecture) -> None:
    assert verdict(PROGRAMS[architecture.name], 0x40000003, 1) == KILL


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=lambda architecture: architecture.name)
def test_every_known_call_reaches_a_verdict_whatever_its_arguments(architecture: Architecture) -> None:
    for name in rules(PID).keys() & architecture.numbers.keys():
        for value in (0, 1, 0xFFFFFFFFFFFFFFFF):
            asked(name, *([value] * 6), architecture=architecture)


def test_a_call_has_one_number_and_a_number_one_call() -> None:
    for architecture in ARCHITECTURES.values():
        assert len(set(architecture.numbers.values())) == len(architecture.numbers)


def test_every_rule_names_a_call_that_the_table_knows() -> None:
    assert not rules(PID).keys() - X86.numbers.keys()
