"""Reads log files on, and makes lines for people of what is in them."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

_OWN_FIELDS: Final = frozenset({"time", "level", "logger", "message", "traceback"})


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line for people, and when it was written."""

    time: str
    text: str


def mentioning(model: str) -> re.Pattern[str]:
    """Finds the lines that mention a model."""
    return re.compile(rf"(?<![\w-]){re.escape(model)}(?![\w-])")


def lines_of(texts: Iterable[str], source: str, mention: re.Pattern[str] | None) -> Iterator[LogLine]:
    """What a log says, for people; with `mention` only the lines in which it is found."""
    last = ""
    for text in texts:
        if not _is_result(text) and (mention is None or mention.search(text)):
            line = _readable(text, source, last)
            last = line.time
            yield line


class LogReader:
    """Reads on in files that grow: all of a model's own, and of shared ones the lines that mention it."""

    def __init__(self, model: str) -> None:
        self._mention = mentioning(model)
        self._read: dict[str, int] = {}

    def more(self, own: Iterable[str], shared: Iterable[str]) -> list[str]:
        """What was written since the last call, in the order of time."""
        lines = [line for path in own for line in lines_of(self._appended(Path(path)), "conversion", None)]
        for path in map(Path, shared):
            lines += lines_of(self._appended(path), path.stem.removeprefix("server-"), self._mention)
        return [line.text for line in sorted(lines, key=lambda line: line.time)]

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


def _readable(text: str, source: str, last: str) -> LogLine:
    """One line of a log; what is no line of ours (a library's words) stays where it was written."""
    said = _fields(text)
    if said is None:
        return LogLine(last, f"{'':8} {source:<19} {text}")
    moment = datetime.fromisoformat(str(said["time"])).astimezone()
    fields = " ".join(f"{key}={value}" for key, value in said.items() if key not in _OWN_FIELDS)
    shown = f"{moment:%H:%M:%S} {source:<19} {said.get('message', '')}  {fields}".rstrip()
    traceback = f"\n{said['traceback']}" if said.get("traceback") else ""
    return LogLine(str(said["time"]), shown + traceback)


def _fields(text: str) -> dict[str, Any] | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and "time" in said else None
