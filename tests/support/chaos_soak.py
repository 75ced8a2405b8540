"""Hours of load, loads, unloads and conversions, without faults: what the processes take, and how long clients wait."""

import asyncio
import csv
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count, cycle
from pathlib import Path
from statistics import median
from typing import Any, Final

from chaos_ledger import Ledger
from chaos_load import Load
from chaos_plan import RENEWED, ROLLED, SCALED, STEADY
from chaos_processes import Use, uses
from chaos_report import Report, complaints
from chaos_rounds import DEVICES, Outcome
from chaos_site import Site, UnsettledError
from chaos_trend import SHARE, WARM_UP, Trend, trend

SPARSE: Final = "sparse"
"""It is asked so seldom that it is unloaded in between."""
_SPECS: Final[Mapping[str, Mapping[str, Any]]] = {
    STEADY: {"replicas": 2},
    ROLLED: {"replicas": 1},
    SCALED: {"replicas": 1},
    RENEWED: {"replicas": 1},
    SPARSE: {"autoscaling": {"minReplicas": 0, "maxReplicas": 1, "idleTimeout": "5s"}},
}
_SPARSE_S: Final = 30.0
_SAMPLE_S: Final = 5.0
_SETTLE_S: Final = 180.0
_LEAST: Final = {"rss_kib": 2048.0, "pss_kib": 2048.0, "descriptors": 2.0, "threads": 1.0, "p50_ms": 1.0, "p99_ms": 10.0}
"""Less growth than this is none."""
_FIGURES: Final = {"pss_kib": "memory (PSS)", "rss_kib": "memory (RSS)", "descriptors": "descriptors", "threads": "threads"}
_WAITS: Final = {"p50_ms": "median wait", "p99_ms": "p99 wait"}
CLIENTS: Final = "clients"


@dataclass(frozen=True, slots=True)
class Waits:
    """Of the requests that were answered since the sample before."""

    answered: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    uses: Sequence[Use]
    waits: Waits


@dataclass(slots=True)
class Soaked:
    """What became of it."""

    outcome: Outcome
    samples: list[Sample] = field(default_factory=list[Sample])
    changes: int = 0
    files_bytes: list[int] = field(default_factory=list[int])
    """Of the whole state folder, at each sample."""

    def series(self, process: str, figure: str) -> tuple[list[float], list[float]]:
        """Moments, and what a figure was."""
        points = [
            (sample.at_s, float(value)) for sample in self.samples if (value := _value(sample, process, figure)) is not None
        ]
        return [at for at, _ in points], [value for _, value in points]

    def processes(self) -> list[str]:
        """Those that were there in the last sample and long enough to be judged."""
        last = self.samples[-1].uses if self.samples else []
        return sorted(use.process for use in last if len(self.series(use.process, "pss_kib")[0]) > len(self.samples) / 2)


def _value(sample: Sample, process: str, figure: str) -> float | None:
    if process == CLIENTS:
        return getattr(sample.waits, figure) if sample.waits.answered else None
    return next((getattr(use, figure) for use in sample.uses if use.process == process), None)


async def run(folder: Path, seconds: float, load: Mapping[str, Any], every_s: float, say: Callable[[str], None]) -> Soaked:
    """Change something every few seconds, and look."""
    site = Site(folder, DEVICES)
    try:
        await site.start()
        for name, spec in _SPECS.items():
            await site.make(name, spec)
        soaked = Soaked(Outcome(Ledger({name: model.timeline for name, model in site.models.items()})))
        async with _load(site, soaked.outcome.ledger, load):
            await _go_on(site, soaked, seconds, every_s, say)
        return soaked
    finally:
        await site.close()


@asynccontextmanager
async def _load(site: Site, ledger: Ledger, load: Mapping[str, Any]) -> AsyncGenerator[None]:
    busy = [name for name in site.models if name != SPARSE]
    seldom = Load(ledger, site.ports, clients=1, think_s=_SPARSE_S, seed=load["seed"])
    async with Load(ledger, site.ports, **load).running(busy), seldom.running([SPARSE]):
        yield


async def _go_on(site: Site, soaked: Soaked, seconds: float, every_s: float, say: Callable[[str], None]) -> None:
    looking = asyncio.create_task(_look(site, soaked, say))
    try:
        end = time.monotonic() + seconds
        for change in _changes(site):
            if time.monotonic() > end:
                break
            await change()
            soaked.changes += 1
            await asyncio.gather(asyncio.sleep(every_s), _settle(site))
            if looking.done():
                break
    except UnsettledError as error:
        soaked.outcome.broken = str(error)
    finally:
        looking.cancel()
        # Whatever else ended it is raised: figures that stop in between would look like those of a shorter run.
        with suppress(asyncio.CancelledError):
            await looking


async def _settle(site: Site) -> None:
    # The one at zero is not Ready and need not be: nobody has asked.
    await site.wait_until_settled(_SETTLE_S, lambda _: time.monotonic(), leave_out=frozenset({SPARSE}))


def _changes(site: Site) -> Iterator[Callable[[], Awaitable[None]]]:
    """A conversion with a load and an unload; one more replica, or one less; a model deleted and made again."""
    for number in cycle((2, 1)):
        yield partial(site.revise, ROLLED)
        yield partial(site.scale, SCALED, {"replicas": number})
        yield partial(site.recreate, RENEWED, 0.5)


async def _look(site: Site, soaked: Soaked, say: Callable[[str], None]) -> None:
    began, seen = time.monotonic(), 0
    for turn in count():
        await asyncio.sleep(_SAMPLE_S)
        waits = soaked.outcome.ledger.waits_s
        now_s = time.monotonic() - began
        soaked.samples.append(Sample(now_s, await asyncio.to_thread(uses, site), _waits(waits[seen:])))
        soaked.files_bytes.append(await asyncio.to_thread(site.files_bytes))
        seen = len(waits)
        if turn % 12 == 0:
            total = sum(use.pss_kib for use in soaked.samples[-1].uses)
            say(f"{now_s / 60:5.1f} min: {total >> 10} MiB, {soaked.changes} changes, {seen} answers")


def _waits(seconds: Sequence[float]) -> Waits:
    ordered = sorted(seconds)
    if not ordered:
        return Waits(0, 0.0, 0.0)
    return Waits(len(ordered), 1000 * median(ordered), 1000 * ordered[int(0.99 * len(ordered))])


def trends(soaked: Soaked) -> dict[tuple[str, str], Trend]:
    """By process (or the clients) and figure; empty where the run was too short to say."""
    found: dict[tuple[str, str], Trend] = {}
    for process, figures in [*((process, _FIGURES) for process in soaked.processes()), (CLIENTS, _WAITS)]:
        for figure in figures:
            seconds, values = soaked.series(process, figure)
            if len(seconds) > 8:
                found[process, figure] = trend(seconds, values, _LEAST[figure])
    return found


def report(soaked: Soaked) -> Report:
    """What was seen, with a verdict on every figure."""
    ledger, found = soaked.outcome.ledger, trends(soaked)
    minutes = soaked.samples[-1].at_s / 60 if soaked.samples else 0.0
    counts = f"{ledger.sent.total()} requests, {ledger.right.total()} answered right, {len(soaked.outcome.unexpected())} lost"
    files = f"{soaked.files_bytes[-1] >> 10} KiB in the state folder" if soaked.files_bytes else ""
    names = {**_FIGURES, **_WAITS}
    lines = [
        f"{minutes:.0f} minutes, {soaked.changes} changes; {counts}, {len(ledger.wrong)} answered wrong; {files} at the end.",
        "",
        "| process | figure | median | growth while judged | an hour | verdict |",
        "|---|---|---|---|---|---|",
        *(_row(process, names[figure], each, figure) for (process, figure), each in found.items()),
        "",
        f"Judged: what comes after the first {WARM_UP:.0%}. Flat: growth of at most {SHARE:.0%} of the median, or negligible.",
    ]
    grows = [f"{process}: {names[figure]} grows" for (process, figure), each in found.items() if not each.flat]
    return Report(lines, [*complaints(soaked.outcome), *grows])


def _row(process: str, name: str, each: Trend, figure: str) -> str:
    by, unit = (1024, " MiB") if figure.endswith("kib") else (1, " ms" if figure.endswith("ms") else "")
    figures = (f"{each.median / by:.1f}{unit}", f"{each.growth / by:+.2f}{unit}", f"{each.per_hour / by:+.2f}{unit}")
    return f"| {process} | {name} | {' | '.join(figures)} | {'flat' if each.flat else '**grows**'} |"


def write_csv(soaked: Soaked, path: Path) -> None:
    """One line for each process and sample, and one for the clients."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["at_s", *(field for field in Use.__slots__), *(field for field in Waits.__slots__)])
        writer.writeheader()
        for sample in soaked.samples:
            at = {"at_s": round(sample.at_s, 1)}
            writer.writerows({**at, **asdict(use)} for use in sample.uses)
            writer.writerow(
                {**at, "process": CLIENTS, **{name: round(value, 2) for name, value in asdict(sample.waits).items()}}
            )


def plot(soaked: Soaked, path: Path) -> None:
    """Memory, descriptors, threads and waits over time."""
    import matplotlib as mpl  # noqa: PLC0415 - takes a second, and has to be told that there is no screen

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(4, 1, sharex=True, figsize=(9, 9))
    for panel, (name, unit, by) in zip(panels, _PANELS, strict=True):
        for process in [CLIENTS] if name in _WAITS else soaked.processes():
            seconds, values = soaked.series(process, name)
            panel.plot([at / 60 for at in seconds], [value / by for value in values], label=process, linewidth=1)
        panel.set_ylabel(unit)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].legend(loc="lower right", fontsize="small", ncols=3)
    panels[-1].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


_PANELS: Final = (
    ("pss_kib", "memory (PSS)\nMiB", 1024),
    ("descriptors", "file\ndescriptors", 1),
    ("threads", "threads", 1),
    ("p99_ms", "p99 wait of\nclients, ms", 1),
)
