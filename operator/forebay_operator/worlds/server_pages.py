"""A server's two pages, Triton's repository index and its metrics: what they say, and what it therefore holds.

They are read as often as once a second from a thousand servers: one regular expression, no parser. Only the families that the
controller asks for are looked at, labels that were seen before are not read again, and neither is what a server said before.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from forebay_operator.domain.snapshot import Holding, HoldingPhase
from forebay_schema import metrics
from forebay_schema.repository import IndexEntry

LOST_AFTER_S: Final = 10.0
"""Silence after which a server counts as lost. Generous: its event loop may wait for a busy machine."""
_FAMILIES: Final = (
    metrics.PENDING,
    metrics.REQUEST_SUCCESS,
    metrics.REQUEST_FAILURE,
    metrics.BUSY_SECONDS,
    metrics.EXECUTING,
    metrics.MODEL_MEMORY,
    metrics.REFUSED_MEMORY,
    metrics.MODEL_INSTANCES,
    metrics.MODEL_INFO,
    metrics.SERVER_DRAINING,
)
# It begins with a byte, as "^" would be tried at every byte: several times as fast.
_WANTED: Final = re.compile(rf"\n({'|'.join(_FAMILIES)})(?:{{(.*)}})? (\S+)".encode())
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PHASES: Final = {
    "READY": HoldingPhase.READY,
    "LOADING": HoldingPhase.LOADING,
    "UNLOADING": HoldingPhase.UNLOADING,
    "UNAVAILABLE": HoldingPhase.FAILED,
}
_UNLOADED: Final = frozenset({"", "unloaded"})
"""Reasons with which Triton lists what it once held and let go: no failures."""
_Key = tuple[str, int]
_Sample = tuple[bytes, bytes, bytes]
"""Family, labels, value."""


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """A metrics page, by what the controller asks of it."""

    by_version: Mapping[_Key, Mapping[str, float]] = field(default_factory=dict)
    """For each model and version, the metrics that have these labels; several samples of one metric are added up."""
    info: Mapping[_Key, Mapping[str, str]] = field(default_factory=dict)
    """The labels of `forebay_model_info`."""
    draining: bool = False


def read_metrics(page: bytes) -> MetricsPage:
    """Read a metrics page.

    Raises:
        ValueError: a figure is no number.
    """
    return _metrics_page(_samples(page))


def _samples(page: bytes) -> list[_Sample]:
    samples: list[_Sample] = _WANTED.findall(b"\n" + page)
    return samples


def _metrics_page(samples: Iterable[_Sample]) -> MetricsPage:
    by_version: dict[_Key, dict[str, float]] = defaultdict(dict)
    info: dict[_Key, Mapping[str, str]] = {}
    draining = False
    for family, labels, value in samples:
        key, named = _labels(labels)
        name = family.decode()
        if key is not None:
            figures = by_version[key]
            figures[name] = figures.get(name, 0.0) + float(value)
            if name == metrics.MODEL_INFO:
                info[key] = named
        elif name == metrics.SERVER_DRAINING:
            draining = float(value) > 0
    return MetricsPage(by_version=dict(by_version), info=info, draining=draining)


def read_index(page: bytes) -> tuple[IndexEntry, ...]:
    """Read a repository index.

    Raises:
        ValueError: it is none.
    """
    try:
        entries = json.loads(page)
    except RecursionError:
        raise ValueError("the repository index is nested beyond all measure") from None
    if not isinstance(entries, list):
        raise ValueError(f"expected a list of models, found {type(entries).__name__}")  # noqa: TRY004 - one error for what is read
    return tuple(IndexEntry.model_validate(entry) for entry in entries)


@dataclass(frozen=True, slots=True)
class Reading:
    """What both pages of a server say."""

    holdings: tuple[Holding, ...] = ()
    draining: bool = False


class PageReader:
    """Reads the pages of one server again and again: what it said before is not worked out anew."""

    def __init__(self) -> None:
        self._index: tuple[bytes, tuple[IndexEntry, ...]] = (b"[]", ())
        self._metrics: tuple[bytes, list[_Sample]] = (b"", [])
        self._reading = Reading()

    def read(self, index: bytes, metrics: bytes) -> Reading:
        """What the pages say; the very object of the last time if nothing that is asked of them is another.

        Raises:
            ValueError: one of the pages is none.
        """
        entries = self._index[1] if index == self._index[0] else read_index(index)
        samples = self._metrics[1] if metrics == self._metrics[0] else _samples(metrics)
        if entries != self._index[1] or samples != self._metrics[1]:
            page = _metrics_page(samples)
            self._reading = Reading(holdings_of(entries, page), page.draining)
        self._index, self._metrics = (index, entries), (metrics, samples)
        return self._reading


def holdings_of(index: Iterable[IndexEntry], page: MetricsPage) -> tuple[Holding, ...]:
    """What the server holds, is about to hold, or failed to, sorted; figures that the page lacks are unknown, never zero."""
    found = (_holding(entry, page) for entry in index)
    return tuple(sorted((holding for holding in found if holding), key=lambda holding: (holding.model, holding.version)))


def structure_of(holdings: Iterable[Holding]) -> frozenset[tuple[str, int, HoldingPhase, int | None]]:
    """What of the holdings the step should look at as soon as it changes."""
    return frozenset((holding.model, holding.version, holding.phase, holding.footprint_bytes) for holding in holdings)


def _holding(entry: IndexEntry, page: MetricsPage) -> Holding | None:
    phase = _PHASES.get(entry.state)
    if phase is None or not entry.version.isdecimal():
        return None
    if phase is HoldingPhase.FAILED and entry.reason in _UNLOADED:
        return None
    key = (entry.name, int(entry.version))
    figures = page.by_version.get(key, {})
    info = page.info.get(key, {})
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
        refused_bytes=_whole(figures.get(metrics.REFUSED_MEMORY)),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


@lru_cache(maxsize=65536)
def _labels(text: bytes) -> tuple[_Key | None, Mapping[str, str]]:
    """The model and version that labels name, and all of them."""
    named = dict(_LABEL.findall(text.decode()))
    version = named.get("version", "")
    return ((named.get("model", ""), int(version)) if version.isdecimal() else None), named
