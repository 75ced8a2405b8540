"""The picture of the demo: load, queue and replicas over the same time, as a file and in the terminal."""

from collections.abc import Sequence
from pathlib import Path

from forebay_operator.cli.demo.story import Story

_BARS = " ▁▂▃▄▅▆▇█"
_LOAD, _HELD, _WAITING, _READY, _WANTED = "#1f77b4", "#d62728", "#ff9f40", "#2ca02c", "#7f7f7f"


def save(story: Story, path: Path, title: str) -> None:
    """Draw three panels with a common time axis; the file name says in which format (PNG, SVG, PDF)."""
    # Imported here: matplotlib takes a second, and needs to be told that there is no screen.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    times = [sample.at_s for sample in story.samples]
    figure, (load, queue, replicas) = plt.subplots(3, 1, sharex=True, figsize=(10, 7), height_ratios=(2, 2, 1.4))
    load.plot(times, [sample.sent_per_s for sample in story.samples], color=_LOAD)
    load.set_ylabel("requests sent\nper second")
    queue.stackplot(
        times,
        [sample.held for sample in story.samples],
        [sample.waiting for sample in story.samples],
        labels=("held at the gateway", "queued in the servers"),
        colors=(_HELD, _WAITING),
    )
    queue.set_ylabel("requests waiting")
    queue.legend(loc="upper right")
    wanted = [sample.replicas_wanted for sample in story.samples]
    replicas.step(times, wanted, where="post", color=_WANTED, linestyle="--", label="wanted")
    ready = [sample.replicas_ready for sample in story.samples]
    replicas.fill_between(times, ready, step="post", color=_READY, alpha=0.6, label="ready")
    replicas.set_ylabel("replicas")
    replicas.set_xlabel("seconds since the first request")
    replicas.yaxis.get_major_locator().set_params(integer=True)
    replicas.legend(loc="upper left")
    for panel in (load, queue, replicas):
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def terminal_chart(story: Story, width: int = 60) -> list[str]:
    """Three lines of bars over the same time, each with its largest value."""
    rows = (
        ("requests/s", [sample.sent_per_s for sample in story.samples]),
        ("waiting", [float(sample.queue) for sample in story.samples]),
        ("replicas", [float(sample.replicas_ready) for sample in story.samples]),
    )
    return [f"{name:>10} {bars(values, width)} max {max(values, default=0):.0f}" for name, values in rows]


def bars(values: Sequence[float], width: int) -> str:
    """One character per slice of time, as high as the largest value in the slice."""
    if not values:
        return " " * width
    highest = max(values) or 1.0
    slices = (values[column * len(values) // width : max(1, (column + 1) * len(values) // width)] for column in range(width))
    tops = (max(part, default=0.0) for part in slices)
    return "".join(_BARS[min(len(_BARS) - 1, -int(-top / highest * (len(_BARS) - 1) // 1))] for top in tops)
