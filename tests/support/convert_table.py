"""Tries the sandbox as whoever runs this program: `python convert_table.py FOLDER [attempts] [ends]`, with its PYTHONPATH.

FOLDER is the user's own, and empty. What was found is printed as JSON: `attempts`, what became of each attempt; `touched`,
what of the surroundings is not as it was; `ends`, how conversions of sources ended that have to be stopped.
"""

import json
import os
import socket
import sys
import sysconfig
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import convert_hostile as attacks
from convert_attempts import POSSIBLE, PRETENDED, REFUSED, trying
from convert_commands import an_order
from convert_hostile import hostile_file
from convert_inside import Told, converted
from forebay_convert.converting import SourceToConvert, convert_source
from forebay_convert.failures import ConversionError
from forebay_convert.progress import Deadline
from forebay_convert.rooms import Room
from forebay_convert.sandbox.levels import available_level
from forebay_schema.conversion import ConversionLimits

_MIB: Final = 1 << 20
_AT_ONCE: Final = 3
_THEN: Final = 1_000_000_000
_X86: Final = os.uname().machine == "x86_64"


@dataclass(frozen=True)
class End:
    """A source that must be stopped, within which limits, and what is said then."""

    code: str
    said: str
    honest: bool = False
    memory_bytes: int = 1 << 30
    seconds: float = 600.0


_MEMORY: Final = "more memory than the conversion may use"
_NO_END: Final = "did not come to an end"
_FORBIDDEN: Final = "made a system call that the sandbox forbids"
ENDS: Final = {
    "takes memory": End(attacks.EAT_MEMORY, _MEMORY, memory_bytes=256 * _MIB),
    "takes memory, and what is refused again": End(attacks.EAT_WHAT_IT_MAY, _MEMORY, memory_bytes=256 * _MIB),
    "takes 50 GB at once": End(attacks.EAT_AT_ONCE, _MEMORY),
    "takes shared memory": End(attacks.EAT_SHARED_MEMORY, _MEMORY, memory_bytes=256 * _MIB),
    "starts threads": End(attacks.MANY_THREADS, "started more threads"),
    "writes a huge file": End(attacks.HUGE_FILE, "wrote more"),
    "writes a sparse file": End(attacks.SPARSE_FILE, "wrote more"),
    "writes many files": End(attacks.MANY_FILES, "wrote more files"),
    "leaves an odd tree": End(attacks.ODD_TREE, "wrote more files"),
    "sleeps, and ignores SIGTERM": End(attacks.SLEEP, _NO_END, seconds=4.0),
    "stops itself": End(attacks.STOP_ITSELF, _NO_END, seconds=4.0),
    "spins": End(attacks.SPIN, _NO_END, seconds=4.0),
    "leaves a thread and an exit handler that never end": End(attacks.THREAD_THAT_NEVER_ENDS, _NO_END, seconds=4.0),
    "prints without end": End(attacks.FLOOD, "printed without end"),
    "forges a verdict": End(attacks.FORGE_VERDICT, "did not keep to its task"),
    "changes the converter in memory": End(attacks.PATCH_CONVERTER, "does not agree with its source", honest=True),
    "leaves a pickle in the arrays": End(attacks.PICKLE_IN_THE_ARRAYS, "cannot be read as arrays"),
    "leaves weights in another file": End(attacks.EXTERNAL_DATA, "in another file"),
    "leaves a model that never ends": End(attacks.ENDLESS_MODEL, _NO_END, seconds=8.0),
    "leaves a model of terabytes": End(attacks.MODEL_OF_TERABYTES, ""),
    **({"makes a call of x32": End(attacks.X32_CALL, _FORBIDDEN)} if _X86 else {}),
    **({"makes a call of i386": End(attacks.I386_CALL, _FORBIDDEN)} if _X86 else {}),
}


def main() -> int:
    folder, wanted = Path(sys.argv[1]), sys.argv[2:]
    os.environ["AWS_SECRET_ACCESS_KEY"] = "hunter2"
    told: dict[str, Any] = {"user": os.geteuid(), "level": available_level()}
    if "attempts" in wanted:
        told |= _attempts(folder)
    if "ends" in wanted:
        told["ends"] = _ends(folder)
    told["children"] = [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    print(json.dumps(told))  # noqa: T201 - what this program is for
    return 0


def _ends(folder: Path) -> dict[str, str]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ended = {name: pool.submit(_end, folder / f"end-{number}", end) for number, (name, end) in enumerate(ENDS.items())}
    return {name: future.result() for name, future in ended.items()}


def _end(folder: Path, end: End) -> str:
    folder.mkdir()
    victim = folder / "victim"
    victim.write_text("precious")
    source = hostile_file(folder, end.code, honest=end.honest, victim=str(victim))
    result = converted(an_order(folder / "store", source, memory_bytes=end.memory_bytes, seconds=end.seconds), folder, Told())
    left = [path.name for path in (folder / "work").iterdir()]
    if result.failure is None or left or victim.read_text() != "precious":
        return f"it was not stopped: {result.artifact}, {left}, {victim.read_text()}"
    return result.failure.cause


def _attempts(folder: Path) -> dict[str, Any]:
    room = _room(folder)
    with _listening(folder) as ports, (folder / "home" / "victim").open("rb") as lent:
        os.set_inheritable(lent.fileno(), True)
        names = {**_targets(folder, room), **ports}
        code = f"T = {names!r}" + trying({**REFUSED, **PRETENDED, **POSSIBLE})
        # Braces are doubled, as `hostile_file` puts names in; none of these are.
        source = hostile_file(room.given, code.replace("{", "{{").replace("}", "}}") + "raise SystemExit")
        to_convert = SourceToConvert(source, source.stat().st_size, "sklearn", (), None, available_level())
        try:
            convert_source(to_convert, room, ConversionLimits(), Deadline(600), Told())
        except ConversionError as error:
            ended = error.failure.cause
        else:
            ended = "it came to its end"
    told = room.out / "told.json"
    attempts = json.loads(told.read_text()) if told.exists() else {}
    return {"attempts": attempts, "ended": ended, "touched": _touched(folder, room)}


def _room(folder: Path) -> Room:
    (folder / "room").mkdir()
    room = Room.within(folder / "room")
    (room.given / "samples.npz").write_bytes(b"samples")
    home = folder / "home"
    for name in (".aws/credentials", ".ssh/id_ed25519", "secrets/token", "victim"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("precious")
    (home / "victim").chmod(0o640)
    os.utime(home / "victim", (_THEN, _THEN))
    return room


def _targets(folder: Path, room: Room) -> Mapping[str, object]:
    return {
        "home": str(folder / "home"),
        "victim": str(folder / "home" / "victim"),
        "given": str(room.given),
        "source": str(room.given / "hostile.pkl"),
        "samples": str(room.given / "samples.npz"),
        "out": str(room.out),
        "site": sysconfig.get_paths()["purelib"],
        "parent": os.getpid(),
    }


@contextmanager
def _listening(folder: Path) -> Generator[dict[str, int]]:
    """Nothing may come to these; the ports are what attempts need."""
    with (
        socket.create_server(("127.0.0.1", 0)) as stream,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as path,
    ):
        datagrams.bind(("127.0.0.1", 0))
        path.bind(str(folder / "home" / "socket"))
        path.listen()
        yield {"tcp": stream.getsockname()[1], "udp": datagrams.getsockname()[1]}
        for listener in (stream, path, datagrams):
            listener.setblocking(False)
            try:
                came = listener.recv(1) if listener is datagrams else listener.accept()
            except BlockingIOError:
                continue
            raise AssertionError(f"something came to {listener}: {came!r}")


def _touched(folder: Path, room: Room) -> list[str]:
    home, site = folder / "home", Path(sysconfig.get_paths()["purelib"])
    victim = (home / "victim").stat()
    found = {
        "content": (home / "victim").read_text() != "precious",
        "mode": victim.st_mode & 0o777 != 0o640,
        "owner": (victim.st_uid, victim.st_gid) != (os.geteuid(), os.getegid()),
        "times": victim.st_mtime != _THEN,
        "names": victim.st_nlink != 1,
        "attributes": bool(os.listxattr(home / "victim")),
        "neighbours": sorted(path.name for path in home.iterdir()) != [".aws", ".ssh", "secrets", "socket", "victim"],
        "samples": (room.given / "samples.npz").read_bytes() != b"samples",
        "source": (room.given / "hostile.pkl").stat().st_size == 0,
        "packages": bool([*site.glob("forebay-evil*"), *site.glob("numpy/__pycache__/forebay-evil*")]),
        "shared memory": Path("/dev/shm/forebay-evil").exists(),
        "what it may write": sorted(path.name for path in room.out.iterdir()) != ["mine", "told.json"],
    }
    return [name for name, changed in found.items() if changed]


if __name__ == "__main__":
    sys.exit(main())
