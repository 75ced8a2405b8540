"""seccomp: the kernel refuses this process every system call that computing does not need.

An allow-list: calls that are not named here, those of future kernels among them, answer ENOSYS, on which libraries fall
back. The program is classic BPF over `struct seccomp_data` (Linux `include/uapi/linux/seccomp.h`).
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from forebay_convert.sandbox import kernel
from forebay_convert.sandbox.syscalls import Architecture

_LOAD = 0x20
_AND = 0x54
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_IF_ANY_BIT = 0x45
_RETURN = 0x06

_RETURN_ALLOW = 0x7FFF0000
_RETURN_ERRNO = 0x00050000
_RETURN_KILL_PROCESS = 0x80000000

_OFFSET_NUMBER = 0
_OFFSET_ARCHITECTURE = 4
_OFFSET_ARGUMENTS = 16
_X32_BIT = 0x40000000

_SET_MODE_FILTER = 1
_FLAG_TSYNC = 1
_INSTRUCTION = struct.Struct("HBBI")

Block = tuple[bytes, ...]

_CLONE_THREAD = 0x00010000
_CLONE_NEW_NAMESPACES = 0x7E020080


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ALLOWED = _names("""
    read write readv writev pread64 pwrite64 preadv pwritev lseek close close_range dup dup2 dup3 pipe pipe2 stat
    fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd chdir
    fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 ftruncate fallocate fsync fdatasync
    sync_file_range flock umask statfs fstatfs sendfile copy_file_range fadvise64 readahead mmap munmap mprotect
    mremap madvise msync mincore brk mlock munlock mlock2 membarrier get_mempolicy set_mempolicy mbind futex
    set_robust_list get_robust_list rseq set_tid_address exit exit_group restart_syscall sched_yield
    sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min getpriority
    getcpu rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack getpid
    getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage getrlimit sysinfo uname
    getrandom alarm setitimer getitimer timer_create timer_settime timer_gettime timer_delete timerfd_create
    timerfd_settime poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd
    eventfd2 wait4 waitid arch_prctl
""")

# EPERM reads better in a traceback than ENOSYS would: these are what a hostile file tries.
_REFUSED = _names("""
    socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg recvfrom recvmsg fork vfork
    execve execveat ptrace process_vm_readv process_vm_writev pidfd_open pidfd_send_signal pidfd_getfd tkill
    rt_sigqueueinfo rt_tgsigqueueinfo setxattr lsetxattr fsetxattr removexattr truncate link linkat symlink symlinkat
    mknod mknodat memfd_create shmget shmat msgget semget mq_open mount umount2 unshare setns pivot_root chroot keyctl
    add_key request_key bpf perf_event_open userfaultfd io_uring_setup setpriority sched_setscheduler sched_setparam
    sched_setattr ioprio_set setrlimit setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid
    capset personality name_to_handle_at open_by_handle_at setsid setpgid
""")

# Answered "done" with nothing done: `shutil.copy` needs them, and Landlock does not cover them.
_PRETENDED = _names("chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat")

# ENOTSUP, on which `shutil.copy2` carries on.
_UNSUPPORTED = _names("getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr")

_PRCTL_NAMES_AND_GETTERS = (15, 16, 3, 21, 23, 39, 0x53564D41)  # PR_SET_PDEATHSIG and PR_SET_DUMPABLE are not among them
_IOCTL_OF_FILES_AND_PIPES = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # no TIOCSTI, no FIOSETOWN
_FCNTL_WITHOUT_SIGNALS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032, 36, 37, 38, 1034)  # no F_SETOWN, no F_SETSIG


def install(architecture: Architecture) -> None:
    """Bind every thread of this process to the program, for good. `no_new_privs` must be set.

    Raises:
        OSError: the kernel refused it.
    """
    program = ctypes.create_string_buffer(build(architecture, os.getpid()))
    length = (len(program) - 1) // _INSTRUCTION.size
    header = struct.pack("HxxxxxxP", length, ctypes.addressof(program))
    kernel.call("seccomp", ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_FLAG_TSYNC), header)


def build(architecture: Architecture, pid: int) -> bytes:
    """The program for a process of this id: it may signal itself and nobody else."""
    parts = [*_refuse_other_architectures(architecture)]
    for name, block in rules(pid).items():
        number = architecture.numbers.get(name)
        if number is not None:
            parts += [_jump(_IF_EQUAL, number, 0, len(block)), *block]
    return b"".join([*parts, _answer(errno.ENOSYS)])


def rules(pid: int) -> dict[str, Block]:
    """What happens to each system call that is known; each block ends with a verdict on every path."""
    return {
        **dict.fromkeys(_ALLOWED, (_allow(),)),
        **dict.fromkeys(_REFUSED, (_answer(errno.EPERM),)),
        **dict.fromkeys(_PRETENDED, (_answer(0),)),
        **dict.fromkeys(_UNSUPPORTED, (_answer(errno.ENOTSUP),)),
        **_rules_by_argument(pid),
    }


def _rules_by_argument(pid: int) -> dict[str, Block]:
    return {
        "clone": _threads_only(),
        "clone3": (_answer(errno.ENOSYS),),  # its flags are behind a pointer; glibc falls back to clone
        "prctl": _one_of(0, _PRCTL_NAMES_AND_GETTERS, errno.EPERM),
        "ioctl": _one_of(1, _IOCTL_OF_FILES_AND_PIPES, errno.ENOTTY),
        "fcntl": _one_of(1, _FCNTL_WITHOUT_SIGNALS, errno.EPERM),
        "prlimit64": _read_own_limits_only(),
        "kill": _one_of(0, (pid,), errno.EPERM),
        "tgkill": _one_of(0, (pid,), errno.EPERM),
        "sched_setaffinity": _one_of(0, (0, pid), errno.EPERM),
        "open": _no_emptying_of_files_opened_to_read(1),
        "openat": _no_emptying_of_files_opened_to_read(2),
    }


def _refuse_other_architectures(architecture: Architecture) -> Block:
    kill = _instruction(_RETURN, _RETURN_KILL_PROCESS)
    check = (_load(_OFFSET_ARCHITECTURE), _jump(_IF_EQUAL, architecture.audit, 1, 0), kill, _load(_OFFSET_NUMBER))
    return (*check, _jump(_IF_AT_LEAST, _X32_BIT, 0, 1), kill) if architecture.has_x32 else check


def _one_of(argument: int, values: Iterable[int], otherwise: int) -> Block:
    """Allow where the low 32 bits of an argument are one of these (the kernel reads these arguments as int)."""
    cases = [part for value in values for part in (_jump(_IF_EQUAL, value, 0, 1), _allow())]
    return (_load_argument(argument), *cases, _answer(otherwise))


def _threads_only() -> Block:
    return (
        _load_argument(0),
        _jump(_IF_ANY_BIT, _CLONE_THREAD, 0, 2),
        _jump(_IF_ANY_BIT, _CLONE_NEW_NAMESPACES, 1, 0),
        _allow(),
        _answer(errno.EPERM),
    )


def _read_own_limits_only() -> Block:
    """`prlimit64(0, which, NULL, old)`: of itself, and with no new value."""
    return (
        _load_argument(2),
        _jump(_IF_EQUAL, 0, 0, 5),
        _load_argument(2, high=True),
        _jump(_IF_EQUAL, 0, 0, 3),
        _load_argument(0),
        _jump(_IF_EQUAL, 0, 0, 1),
        _allow(),
        _answer(errno.EPERM),
    )


def _no_emptying_of_files_opened_to_read(argument: int) -> Block:
    """Landlock below ABI 3 lets O_RDONLY|O_TRUNC empty a file that was granted for reading only."""
    return (
        _load_argument(argument),
        _instruction(_AND, os.O_TRUNC | os.O_ACCMODE),
        _jump(_IF_EQUAL, os.O_TRUNC, 0, 1),
        _answer(errno.EPERM),
        _allow(),
    )


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, if_true, if_false, value)


def _jump(code: int, value: int, if_true: int, if_false: int) -> bytes:
    return _instruction(code, value, if_true, if_false)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _load_argument(index: int, *, high: bool = False) -> bytes:
    return _load(_OFFSET_ARGUMENTS + 8 * index + (4 if high else 0))


def _allow() -> bytes:
    return _instruction(_RETURN, _RETURN_ALLOW)


def _answer(error: int) -> bytes:
    return _instruction(_RETURN, _RETURN_ERRNO | error)
