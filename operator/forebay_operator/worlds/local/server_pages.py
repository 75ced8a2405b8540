"""What a server's two pages say: Triton's repository index and its metrics."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from forebay_operator.domain.snapshot import Holding, HoldingPhase
from forebay_schema import metrics
from forebay_schema.repository import IndexEntry

_SAMPLE: Final = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?")
_LABEL: Final = re.compile(r'(?P<name>\w+)="(?P<value>(?:[^"\\]|\\.)*)"')
_PHASES: Final = {
    "READY": HoldingPhase.READY,
    "LOADING": HoldingPhase.LOADING,
    "UNLOADING": HoldingPhase.UNLOADING,
    "UNAVAILABLE": HoldingPhase.FAILED,
}
_UNLOADED: Final = frozenset({"", "unloaded"})
"""Reasons with which Triton lists what it once held and let go: no failures."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a metrics page."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """A metrics page, by what the controller asks of it."""

    by_version: Mapping[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)
    """For each model and version, the metrics that have these labels; several samples of one metric are added up."""
    info: Mapping[tuple[str, int], Mapping[str, str]] = field(default_factory=dict)
    """The labels of `forebay_model_info`."""
    device_memory_bytes: int | None = None
    draining: bool = False


def samples(text: str) -> Iterator[Sample]:
    """The samples of a page in Prometheus' text form; lines that are none are skipped."""
    for line in text.splitlines():
        match = None if line.startswith("#") else _SAMPLE.fullmatch(line.strip())
        if match:
            labels = {found["name"]: found["value"] for found in _LABEL.finditer(match["labels"] or "")}
            yield Sample(match["name"], labels, float(match["value"]))


def metrics_page(text: str) -> MetricsPage:
    """Read a metrics page."""
    by_version: dict[tuple[str, int], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    info: dict[tuple[str, int], Mapping[str, str]] = {}
    device: dict[str, float] = {}
    for sample in samples(text):
        version = sample.labels.get("version", "")
        if not version.isdecimal():
            device[sample.name] = sample.value
            continue
        key = (sample.labels.get("model", ""), int(version))
        by_version[key][sample.name] += sample.value
        if sample.name == metrics.MODEL_INFO:
            info[key] = sample.labels
    memory = device.get(metrics.DEVICE_MEMORY)
    return MetricsPage(
        by_version={key: dict(values) for key, values in by_version.items()},
        info=info,
        device_memory_bytes=None if memory is None else int(memory),
        draining=device.get(metrics.SERVER_DRAINING, 0) > 0,
    )


def holdings_of(index: Iterable[IndexEntry], page: MetricsPage | None) -> tuple[Holding, ...]:
    """What the server holds, is about to hold, or failed to, sorted; without metrics the figures are unknown, never zero."""
    found = (_holding(entry, page) for entry in index)
    return tuple(sorted((holding for holding in found if holding), key=lambda holding: (holding.model, holding.version)))


def _holding(entry: IndexEntry, page: MetricsPage | None) -> Holding | None:
    phase = _PHASES.get(entry.state)
    if phase is None or not entry.version.isdecimal():
        return None
    if phase is HoldingPhase.FAILED and entry.reason in _UNLOADED:
        return None
    key = (entry.name, int(entry.version))
    figures = page.by_version.get(key, {}) if page else {}
    info = page.info.get(key, {}) if page else {}
    answered = [figures[name] for name in (metrics.REQUEST_SUCCESS, metrics.REQUEST_FAILURE) if name in figures]
    return Holding(
        model=entry.name,
        version=int(entry.version),
        phase=phase,
        reason=entry.reason,
        digest=info.get("digest", ""),
        provider=info.get("provider", ""),
        footprint_bytes=_whole(figures.get(metrics.MODEL_MEMORY)),
        instances=_whole(figures.get(metrics.MODEL_INSTANCES)) or 1,
        waiting=_whole(figures.get(metrics.PENDING)),
        executing=_whole(figures.get(metrics.EXECUTING)),
        busy_seconds=figures.get(metrics.BUSY_SECONDS),
        completed=int(sum(answered)) if answered else None,
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
