"""Tables for people: rich where a terminal is, plain aligned columns where none is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: a heading for each column, and a text for each cell."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def rich(self, *, one_line: bool = False) -> Table:
        """For a terminal: the last column takes what is left and is wrapped, or cut where each row shall have one line."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for heading in self.headings[:-1]:
            table.add_column(heading, no_wrap=True)
        table.add_column(self.headings[-1], overflow="ellipsis" if one_line else "fold", no_wrap=one_line)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def plain(self) -> str:
        """Lines without colours and without a width."""
        lines = [self.headings, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def show(self, console: Console) -> bool:
        """Show it: on a terminal one line for each row, as wide as that is. Whether all of it could be shown."""
        if console.is_terminal:
            console.print(self.rich(one_line=True), highlight=False)
            return max(map(len, self.plain().splitlines())) <= console.width
        console.print(self.plain(), markup=False, highlight=False, soft_wrap=True)
        return True


def objects_table(objects: Sequence[dict[str, Any]], now: datetime, namespace: str | None = None) -> Rows:
    """What `forebay get` lists: the columns that `kubectl get mdep` has, and the summary. `namespace`: that all of them are
    of, as was asked for; None: each may be of another."""
    headings = ["NAME", "READY", "WANTED", "REPLICAS", "QUEUE", "AGE", "SUMMARY"]
    rows = [_object_row(shown, now) for shown in objects]
    spaces = [shown["metadata"].get("namespace", "default") for shown in objects]
    if namespace is not None or set(spaces) <= {"default"}:
        return Rows(headings, rows)
    return Rows(["NAMESPACE", *headings], [[space, *row] for space, row in zip(spaces, rows, strict=True)])


def age(created: str | None, now: datetime) -> str:
    """`45s`, `12m`, `3h`, `2d` since a time as Kubernetes writes it."""
    if not created:
        return ""
    seconds = max(0, int((now - datetime.fromisoformat(created).astimezone(UTC)).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _object_row(shown: dict[str, Any], now: datetime) -> list[str]:
    status = shown.get("status", {})
    scaling = status.get("scaling", {})
    return [
        shown["metadata"]["name"],
        next((said["status"] for said in status.get("conditions", []) if said["type"] == "Ready"), "-"),
        str(scaling.get("wanted", "-")),
        str(status.get("readyReplicas", "-")),
        f"{scaling['queueDepth']:g}" if "queueDepth" in scaling else "-",
        age(shown["metadata"].get("creationTimestamp"), now),
        " ".join(status.get("summary", "Not looked at yet.").split()),
    ]
