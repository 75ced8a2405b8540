"""What the demo shows while traffic runs: a live table on a terminal, a plain line every two seconds otherwise."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from forebay_operator.cli.demo.load import LoadReport
from forebay_operator.cli.demo.plot import terminal_chart
from forebay_operator.cli.demo.story import Sample, Story

PLAIN_LINE_EVERY_S = 2.0


class Screen(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def show(self, story: Story, report: LoadReport) -> None: ...


def screen_for(console: Console) -> Screen:
    """The live table where there is a terminal to draw it on, else plain lines."""
    return LiveTable(console) if console.is_terminal else PlainLines(console)


class LiveTable:
    """Draws over itself."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def show(self, story: Story, report: LoadReport) -> None:
        self._live.update(_table(story, report))


class PlainLines:
    """Says now and then how it goes, and each decision once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0
        self._decisions = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def show(self, story: Story, report: LoadReport) -> None:
        for decision in story.decisions[self._decisions :]:
            self._say(f"        {decision}")
        self._decisions = len(story.decisions)
        latest = story.samples[-1]
        if latest.at_s >= self._next_s:
            self._next_s = latest.at_s + PLAIN_LINE_EVERY_S
            self._say(_line(latest, report))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _line(sample: Sample, report: LoadReport) -> str:
    return (
        f"{sample.at_s:5.0f} s  {sample.sent_per_s:4.0f} requests/s  held {sample.held:3}  queued {sample.waiting:3}"
        f"  replicas {sample.replicas_ready} of {sample.replicas_wanted} wanted  p50 {_milliseconds(sample.latency_p50_s)}"
        f"  answered {report.answered}/{report.sent}  failed {len(report.failed)}"
    )


def _table(story: Story, report: LoadReport) -> Table:
    latest = story.samples[-1]
    table = Table(title=f"digits, {latest.at_s:.0f} s", show_header=False, min_width=78)
    table.add_column(style="bold")
    table.add_column(no_wrap=True, overflow="ellipsis")
    protocols = ", ".join(f"{count} by {name}" for name, count in sorted(report.by_protocol.items()))
    rows = (
        ("load", f"{latest.sent_per_s:.0f} requests/s"),
        ("queue", f"{latest.held} held at the gateway, {latest.waiting} in the servers, {latest.executing} in execution"),
        ("replicas", f"{latest.replicas_ready} ready, {latest.replicas_wanted} wanted"),
        ("latency", f"p50 {_milliseconds(latest.latency_p50_s)} over the last two seconds"),
        ("answers", f"{report.answered} of {report.sent} sent, {len(report.failed)} failed ({protocols})"),
        ("decision", story.decisions[-1] if story.decisions else "none yet"),
    )
    for name, value in rows:
        table.add_row(name, value)
    for line in terminal_chart(story, width=56):
        table.add_row("", line)
    return table


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
