"""What a sealed child tells its parent on standard output, and what of it the parent lets through.

One JSON object a line, with one known key. Everything else a child prints is dropped. None of it is a verdict: a phase is
shown, a refusal ends a conversion that its own child gave up, a note is shown with the result.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

_LONGEST_PHASE = 40
_LONGEST_TEXT = 500
_MOST_NOTES = 8


class RefusalError(Exception):
    """Raised in a child that cannot go on: what happened, and what to do."""

    def __init__(self, stage: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.stage = stage
        self.cause = cause
        self.remedy = remedy


def tell_phase(name: str) -> None:
    _tell({"phase": name})


def tell_note(text: str) -> None:
    _tell({"note": text})


def tell_refusal(refused: RefusalError) -> None:
    _tell({"refusal": {"stage": refused.stage, "cause": refused.cause, "remedy": refused.remedy}})


def _tell(content: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


class Hearing:
    """Listens to a child that may lie: known keys only, printable, short."""

    def __init__(self, on_phase: Callable[[str], None]) -> None:
        self._on_phase = on_phase
        self.phase = ""
        self.refused: RefusalError | None = None
        self.notes: list[str] = []

    def hear(self, line: str) -> None:
        content = _object(line)
        if "phase" in content:
            self.phase = printable(content["phase"], _LONGEST_PHASE)
            self._on_phase(self.phase)
        elif "note" in content and len(self.notes) < _MOST_NOTES:
            self.notes.append(printable(content["note"], _LONGEST_TEXT))
        elif isinstance(content.get("refusal"), dict):
            self.refused = _refused(cast(dict[str, Any], content["refusal"]))


def printable(value: object, length: int) -> str:
    """At most `length` characters of a text that a terminal shows as they are; whitespace becomes single spaces."""
    text = " ".join(str(value)[: 4 * length].split())
    return "".join(character for character in text if character.isprintable())[:length]


def display(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes of a child that may lie, as far as they are let through."""
    return tuple(printable(note, _LONGEST_TEXT) for note in itertools.islice(notes, _MOST_NOTES))


def _object(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], content) if isinstance(content, dict) else {}


def _refused(content: dict[str, Any]) -> RefusalError:
    return RefusalError(*(printable(content.get(key, ""), _LONGEST_TEXT) for key in ("stage", "cause", "remedy")))
