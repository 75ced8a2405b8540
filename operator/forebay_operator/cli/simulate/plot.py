"""The picture of simulated runs: load, queue, replicas and waits over the same time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from forebay_operator.cli.simulate.course import Course
from forebay_operator.cli.simulate.figures import Values, waits_over_time

_SLICES: Final = 600
_LOAD: Final = "#1f77b4"
_COLOURS: Final = ("#2ca02c", "#d62728", "#9467bd", "#ff9f40", "#8c564b", "#e377c2", "#7f7f7f", "#17becf")


def save(courses: Sequence[tuple[str, Course]], path: Path, title: str) -> None:
    """Draw four panels with a common time axis, each run in its colour; the file name says in which format (PNG, SVG, PDF)."""
    # Imported here: matplotlib takes a second, and needs to be told that there is no screen.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(4, 1, sharex=True, figsize=(11, 9), height_ratios=(1.4, 1.4, 1.4, 1.4))
    longest = max((course for _, course in courses), key=lambda course: len(course.seconds))
    _panel(panels[0], "requests\nper second")
    panels[0].plot(*_sliced([second.arrivals for second in longest.seconds], np.mean), color=_LOAD)
    for panel, label in zip(panels[1:], ("requests waiting\n(most)", "replicas", "wait, seconds"), strict=True):
        _panel(panel, label)
    for number, (name, course) in enumerate(courses):
        _draw(panels[1:], name, course, _COLOURS[number % len(_COLOURS)])
    for panel in panels:
        # Once all is drawn: before, it would fix the other end, too.
        panel.set_ylim(bottom=0)
    panels[3].set_yscale("symlog", linthresh=0.1)
    panels[3].set_xlabel("hours")
    panels[2].legend(loc="upper left", fontsize="small")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(panel: Any, label: str) -> None:
    panel.set_ylabel(label)
    panel.grid(alpha=0.3)


def _draw(panels: Sequence[Any], name: str, course: Course, colour: str) -> None:
    queue, replicas, waits = panels
    queue.plot(*_sliced([second.queued + second.held for second in course.seconds], np.max), color=colour)
    replicas.step(*_sliced([float(second.ready) for second in course.seconds], np.max), where="post", color=colour, label=name)
    wanted = _sliced([float(second.wanted) for second in course.seconds], np.max)
    replicas.step(*wanted, where="post", color=colour, linestyle=":", linewidth=0.8)
    length = len(course.seconds)
    slices = min(_SLICES, length)
    p50, p99 = waits_over_time(course.waits, float(length), slices, (0.5, 0.99))
    hours = (np.arange(slices) + 0.5) * length / slices / 3600.0
    waits.plot(hours, p99, color=colour, label="p99")
    waits.plot(hours, p50, color=colour, linestyle=":", label="p50")


def _sliced(values: Sequence[float], of: Any) -> tuple[Values, Values]:
    """Hours, and one value for each slice of time."""
    slices = min(_SLICES, len(values))
    parts = np.array_split(np.array(values), slices)
    hours = np.cumsum([0, *(len(part) for part in parts[:-1])]) / 3600.0
    return hours, np.array([of(part) for part in parts])
