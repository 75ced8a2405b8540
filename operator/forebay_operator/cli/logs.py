"""`forebay logs`: what conversions, servers and the gateway wrote of a model."""

import argparse
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from forebay_operator.cli.connection import Connection
from forebay_operator.cli.naming import Commands, add_name, add_state, object_path

_POLL_S: Final = 0.5
_OWN_FIELDS: Final = frozenset({"time", "level", "logger", "message", "traceback"})


def add(commands: Commands) -> None:
    parser = commands.add_parser("logs", help="what conversion, servers and gateway wrote of a model")
    add_name(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    add_state(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    connection, path = Connection.open(options.state), f"{object_path(options)}/logs"
    reader = LogReader(options.name.rpartition("/")[2])
    while True:
        said = connection.get(path)
        for line in reader.more(said["own"], said["shared"]):
            print(line, flush=True)  # noqa: T201 - what was asked for
        if not options.follow:
            return 0
        time.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class _Line:
    time: str
    text: str


class LogReader:
    """Reads on in files that grow: all of a model's own, and of shared ones the lines that mention it."""

    def __init__(self, model: str) -> None:
        self._mentions = re.compile(rf"(?<![\w-]){re.escape(model)}(?![\w-])")
        self._read: dict[str, int] = {}

    def more(self, own: Iterable[str], shared: Iterable[str]) -> list[str]:
        """What was written since the last call, in the order of time."""
        lines = [line for path in own for line in self._new(Path(path), all_lines=True)]
        lines += [line for path in shared for line in self._new(Path(path), all_lines=False)]
        return [line.text for line in sorted(lines, key=lambda line: line.time)]

    def _new(self, path: Path, *, all_lines: bool) -> Iterator[_Line]:
        last = ""
        for text in self._appended(path):
            if not _is_result(text) and (all_lines or self._mentions.search(text)):
                line = _readable(text, "conversion" if all_lines else path.stem.removeprefix("server-"), last)
                last = line.time
                yield line

    def _appended(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as file:
                begin = self._read.get(str(path), 0)
                # A file that was emptied begins anew.
                file.seek(begin if begin <= path.stat().st_size else 0)
                data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                self._read[str(path)] = file.tell() - len(data) + len(whole)
        except OSError:
            return []
        return whole.decode(errors="replace").splitlines()


def _is_result(text: str) -> bool:
    """The document in which a conversion answers: it is for programs, and its log has said it in words."""
    return text.startswith('{"schema":')


def _readable(text: str, source: str, last: str) -> _Line:
    """One line of a log; what is no line of ours (a library's words) stays where it was written."""
    said = _fields(text)
    if said is None:
        return _Line(last, f"{'':8} {source:<19} {text}")
    moment = datetime.fromisoformat(str(said["time"])).astimezone()
    fields = " ".join(f"{key}={value}" for key, value in said.items() if key not in _OWN_FIELDS)
    shown = f"{moment:%H:%M:%S} {source:<19} {said.get('message', '')}  {fields}".rstrip()
    traceback = f"\n{said['traceback']}" if said.get("traceback") else ""
    return _Line(str(said["time"]), shown + traceback)


def _fields(text: str) -> dict[str, Any] | None:
    try:
        said = json.loads(text)
    except ValueError:
        return None
    return said if isinstance(said, dict) and "time" in said else None
