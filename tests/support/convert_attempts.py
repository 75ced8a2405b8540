"""What a hostile source tries while it is opened: each an attempt of its own, that gets through if it ends without an error.

`T` holds what is tried at: `victim`, a file of the user's in the folder `home`; `out`, where the source may write; `parent`,
the process that watches it.
"""

import os
import resource
from typing import Final

_LIBC: Final = """
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    got = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if got < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got
def child(number, *arguments):
    if call(number, *arguments) == 0: os._exit(0)
"""

ON_FILES: Final = {
    "write beside it": "open(T['home'] + '/planted', 'w').write('x')",
    "append to it": "open(T['victim'], 'a').write('pwned')",
    "empty it": "os.truncate(T['victim'], 0)",
    "empty it by opening it to read": "os.open(T['victim'], os.O_RDONLY | os.O_TRUNC)",
    "empty its own source by opening it to read": "os.open(T['source'], os.O_RDONLY | os.O_TRUNC)",
    "change its samples": "open(T['samples'], 'r+b').write(b'pwned')",
    "remove it": "os.remove(T['victim'])",
    "take it away": "os.rename(T['victim'], T['out'] + '/stolen')",
    "put another in its place": "open(T['out'] + '/mine', 'w').close()\nos.rename(T['out'] + '/mine', T['victim'])",
    "give it a second name": "os.link(T['victim'], T['out'] + '/second')",
    "link to it": "os.symlink(T['victim'], T['out'] + '/link')",
    "give it an attribute": "os.setxattr(T['victim'], 'user.x', b'1')",
    "plant a module": "open(T['site'] + '/forebay-evil.pth', 'w').write('import os')",
    "plant bytecode": "open(T['site'] + '/numpy/__pycache__/forebay-evil.pyc', 'w').close()",
    "make a fifo": "os.mkfifo(T['out'] + '/fifo')",
    "make a device": "os.mknod(T['out'] + '/device', 0o20600, os.makedev(1, 1))",
    "leave something in shared memory": "open('/dev/shm/forebay-evil', 'w').close()",
}
ON_SECRETS: Final = {
    "read credentials": "open(T['home'] + '/.aws/credentials').read()",
    "read a key": "open(T['home'] + '/.ssh/id_ed25519').read()",
    "read a mounted secret": "open(T['home'] + '/secrets/token').read()",
    "read the users": "open('/etc/passwd').read()",
    "read its parent's environment": "open(f'/proc/{T[\"parent\"]}/environ').read()",
    "read its parent's command line": "open(f'/proc/{T[\"parent\"]}/cmdline').read()",
    "read its parent's memory": "open(f'/proc/{T[\"parent\"]}/mem', 'rb')",
    "read where its parent's memory is": "open(f'/proc/{T[\"parent\"]}/maps').read()",
    "list processes": "os.listdir('/proc')",
    "list all files": "os.listdir('/')",
    "list other people's temporary files": "os.listdir('/tmp')",
    "go through its own root": "open('/proc/self/root/etc/passwd').read()",
    "go up from its own folder": "os.listdir('/proc/self/cwd/../../..')",
    "read the machine's memory": "open('/dev/mem', 'rb').read(1)",
    "read a terminal": "open('/dev/tty', 'rb').read(1)",
    "find a secret in its environment": "os.environ['AWS_SECRET_ACCESS_KEY']",
    "find a secret in the environment it began with": "open('/proc/self/environ', 'rb').read().index(b'AWS_SECRET')",
    "find a secret on its command line": "open('/proc/self/cmdline', 'rb').read().index(b'hunter2')",
    "find a descriptor of its parent's": (
        "ours = (T['given'], 'pipe:', '/dev/null', '/proc/', 'anon_inode:')\n"
        "names = [os.readlink(f'/proc/self/fd/{n}') for n in range(64) if os.path.lexists(f'/proc/self/fd/{n}')]\n"
        "[name for name in names if not name.startswith(ours)][0]"
    ),
}
ON_THE_NETWORK: Final = {
    "connect": "socket.create_connection(('127.0.0.1', T['tcp']), 5).sendall(b'loot')",
    "send a datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'loot', ('127.0.0.1', T['udp']))",
    "connect to a path": "socket.socket(socket.AF_UNIX).connect(T['home'] + '/socket')",
    "listen": "socket.create_server(('127.0.0.1', 0))",
    "IPv6": "socket.socket(socket.AF_INET6)",
    "raw packets": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "the machine's host": "socket.socket(40, socket.SOCK_STREAM)",
    "a pair of sockets": "socket.socketpair()",
    "look up a name": "socket.getaddrinfo('localhost', 80)",
}
ON_PROCESSES: Final = {
    "fork": "os.fork() or os._exit(0)",
    "run a shell": "subprocess.run(['/bin/sh', '-c', 'true'], check=True)",
    "call system": "assert os.system('true') == 0",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "become another program": "os.execv('/bin/sh', ['sh', '-c', 'exit 0'])",
    "kill its parent": "os.kill(T['parent'], 9)",
    "signal everybody": "os.kill(-1, 0)",
    "kill its parent by a handle": "signal.pidfd_send_signal(os.pidfd_open(T['parent']), 9)",
    "have its parent signalled": (
        "a, b = os.pipe()\n"
        "fcntl.fcntl(a, fcntl.F_SETOWN, T['parent']); fcntl.fcntl(a, 10, 9)\n"
        "fcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | os.O_ASYNC); os.write(b, b'x')"
    ),
    "change its parent's limits": f"resource.prlimit(T['parent'], {resource.RLIMIT_NOFILE}, (3, 3))",
    "raise its own limits": f"resource.setrlimit({resource.RLIMIT_NOFILE}, (4096, 4096))",
    "slow its parent down": "os.setpriority(os.PRIO_PROCESS, T['parent'], 19)",
    "bind its parent to one processor": "os.sched_setaffinity(T['parent'], {0})",
    "type at a terminal": "fcntl.ioctl(1, 0x5412, b'x')",
    "begin a session": "os.setsid()",
    "make a file in memory": "os.memfd_create('x')",
    "become somebody else": "os.setuid(0 if os.getuid() else 65534)",
    "change its root": "os.chroot(T['out'])",
}
BY_NUMBER: Final = {
    "give it an attribute by a newer call": "call(463, -100, ctypes.c_char_p(T['victim'].encode()), 0, 0, 0, 0)",
    "use io_uring": "call(425, 8, ctypes.create_string_buffer(120))",
    "fork, unseen by Python": "child(57)",
    "clone": "child(56, 17, 0, 0, 0, 0)",
    "clone by the newer call": "child(435, ctypes.create_string_buffer((17).to_bytes(40, 'little') + bytes(48), 88), 88)",
    "leave its namespaces": "call(272, 0x10000000)",
    "signal a thread of its parent's": "call(234, T['parent'], T['parent'], 9)",
    "signal it by the older call": "call(200, T['parent'], 9)",
    "queue a signal to it": "call(129, T['parent'], 9, ctypes.create_string_buffer(128))",
    "trace its parent": "call(101, 16, T['parent'], 0, 0)",
    "read its parent's memory by a call": "call(310, T['parent'], 0, 0, 0, 0, 0)",
    "outlive its parent": "call(157, 1, 0, 0, 0, 0)",
    "have itself dumped": "call(157, 4, 1, 0, 0, 0)",
    "share memory": "call(29, 0, 4096, 0o1600)",
    "use a message queue": "call(240, b'x', 0o102, 0o600, 0)",
    "mount": "call(165, 0, 0, 0, 0, 0)",
    "load a kernel program": "call(321, 0, 0, 0)",
    "handle page faults": "call(323, 0)",
    "use kernel keys": "call(250, 0, -3, 1, 0, 0)",
    "look at other programs' counters": "call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)",
    "get its rights back": "call(126, ctypes.create_string_buffer(8), ctypes.create_string_buffer(24))",
}
"""By x86-64's numbers of the calls."""
PRETENDED: Final = {
    "change its mode": "os.chmod(T['victim'], 0o777)",
    "change its owner": "os.chown(T['victim'], 12345, 12345)",
    "change its times": "os.utime(T['victim'], (0, 0))",
}
"""These are told that it was done; it was not."""
POSSIBLE: Final = {"learn its size": "os.stat(T['victim']).st_size"}
"""What no sandbox of ours keeps from anybody."""

REFUSED: Final = {
    **ON_FILES,
    **ON_SECRETS,
    **ON_THE_NETWORK,
    **ON_PROCESSES,
    **(BY_NUMBER if os.uname().machine == "x86_64" else {}),
}
WOULD_DO: Final = {
    name: code
    for kind in (ON_FILES, ON_SECRETS, ON_THE_NETWORK)
    for name, code in kind.items()
    if name in ("write beside it", "append to it", "read credentials", "read the users", "list all files", "connect")
}
"""Attempts that get through where nothing stops them, and harm nobody but their victim."""

BEFORE: Final = f"""
import ctypes, fcntl, json, os, resource, signal, socket, subprocess
{_LIBC}
"""


def trying(attempts: dict[str, str]) -> str:
    """Code that makes the attempts, and leaves in `told.json` what became of each; `T` is there when it runs."""
    return f"""{BEFORE}
told = {{}}
for name, code in {attempts!r}.items():
    told[name] = "did not come back"
    with open(T["out"] + "/told.json", "w") as file: json.dump(told, file)
    try:
        exec(code, {{**globals(), "T": T}})
        told[name] = "got through"
    except BaseException as error:
        told[name] = f"{{type(error).__name__}}: {{error}}"[:200]
with open(T["out"] + "/told.json", "w") as file: json.dump(told, file)
"""
