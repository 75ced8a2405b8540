"""A server's two pages, Triton's repository index and its metrics: what they say, and what it therefore holds.

They are read as often as once a second from a thousand servers: one regular expression, no parser. Only the families that the
controller asks for are looked at. Whose figures they are is worked out once for pages that have the same lines but for the
figures at their ends.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
_WANTED: Final = re.compile(rf"\n((?:{'|'.join(_FAMILIES)})(?:{{.*}})?) (\S+)".encode())
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
_Sample = tuple[bytes, bytes]
"""A family with its labels, and the figure."""
_Places = tuple[int, ...]
"""Where among the figures of a page those are that add up to one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What both pages of a server say."""

    holdings: tuple[Holding, ...] = ()
    """What it holds, is about to hold, or failed to, sorted; figures that the page lacks are unknown, never zero."""
    draining: bool = False


class PageReader:
    """Reads the pages of one server again and again: what it said before is not worked out anew."""

    def __init__(self) -> None:
        self._index: tuple[bytes, tuple[IndexEntry, ...]] = (b"[]", ())
        self._metrics: tuple[bytes, list[_Sample]] = (b"", [])
        self._layout = _Layout((), ())
        self._reading = Reading()

    def read(self, index: bytes, metrics: bytes) -> Reading:
        """What the pages say; the very object of the last time if nothing that is asked of them is another.

        Raises:
            ValueError: one of the pages is none.
        """
        entries = self._index[1] if index == self._index[0] else _read_index(index)
        samples = self._metrics[1] if metrics == self._metrics[0] else _samples(metrics)
        if entries != self._index[1] or samples != self._metrics[1]:
            layout = self._layout_of(entries, tuple([series for series, _ in samples]))
            self._reading, self._layout = layout.reading([float(figure) for _, figure in samples]), layout
        self._index, self._metrics = (index, entries), (metrics, samples)
        return self._reading

    def _layout_of(self, entries: tuple[IndexEntry, ...], series: tuple[bytes, ...]) -> "_Layout":
        if series == self._layout.series and entries == self._layout.entries:
            return self._layout
        return _Layout(entries, series)


def structure_of(holdings: Iterable[Holding]) -> frozenset[tuple[str, int, HoldingPhase, int | None]]:
    """What of the holdings the step should look at as soon as it changes."""
    return frozenset((holding.model, holding.version, holding.phase, holding.footprint_bytes) for holding in holdings)


class _Layout:
    """Whose the figures of a metrics page are."""

    def __init__(self, entries: tuple[IndexEntry, ...], series: tuple[bytes, ...]) -> None:
        """`series`: the lines without their figures."""
        self.entries = entries
        self.series = series
        self._draining: list[int] = []
        places: dict[_Key, dict[str, _Places]] = defaultdict(dict)
        info: dict[_Key, Mapping[str, str]] = {}
        for at, (family, key, labels) in enumerate(map(_parts, series)):
            if key is not None:
                places[key][family] = (*places[key].get(family, ()), at)
                if family == metrics.MODEL_INFO:
                    info[key] = labels
            elif family == metrics.SERVER_DRAINING:
                self._draining.append(at)
        keys = sorted((_key(entry), at) for at, entry in enumerate(entries) if _is_held(entry))
        self._held = [_Held(entries[at], key, places.get(key, {}), info.get(key, {})) for key, at in keys]

    def reading(self, figures: Sequence[float]) -> Reading:
        """What the pages say with these figures.

        Raises:
            ValueError: a figure that has to be a whole number is none.
        """
        holdings = tuple([held.holding(figures) for held in self._held])
        return Reading(holdings, any(figures[at] > 0 for at in self._draining))


class _Held:
    """One version of the repository index, and where its figures are."""

    def __init__(self, entry: IndexEntry, key: _Key, places: Mapping[str, _Places], info: Mapping[str, str]) -> None:
        self._model, self._version = key
        self._phase = _PHASES[entry.state]
        self._reason = entry.reason
        self._digest = info.get("digest", "")
        self._provider = info.get("provider", "")
        self._footprint = places.get(metrics.MODEL_MEMORY, ())
        self._instances = places.get(metrics.MODEL_INSTANCES, ())
        self._waiting = places.get(metrics.PENDING, ())
        self._executing = places.get(metrics.EXECUTING, ())
        self._busy = places.get(metrics.BUSY_SECONDS, ())
        self._completed = places.get(metrics.REQUEST_SUCCESS, ()) + places.get(metrics.REQUEST_FAILURE, ())
        self._refused = places.get(metrics.REFUSED_MEMORY, ())

    def holding(self, figures: Sequence[float]) -> Holding:
        return Holding(
            model=self._model,
            version=self._version,
            phase=self._phase,
            reason=self._reason,
            digest=self._digest,
            provider=self._provider,
            footprint_bytes=_whole(figures, self._footprint),
            instances=_whole(figures, self._instances) or 1,
            waiting=_whole(figures, self._waiting),
            executing=_whole(figures, self._executing),
            busy_seconds=_total(figures, self._busy),
            completed=_whole(figures, self._completed),
            refused_bytes=_whole(figures, self._refused),
        )


def _total(figures: Sequence[float], places: _Places) -> float | None:
    """None: the page has no such figure."""
    if len(places) == 1:
        return figures[places[0]]
    return sum(figures[at] for at in places) if places else None


def _whole(figures: Sequence[float], places: _Places) -> int | None:
    total = _total(figures, places)
    if total is None:
        return None
    if not math.isfinite(total):
        raise ValueError(f"expected a number of requests or bytes, found {total}")
    return int(total)


def _is_held(entry: IndexEntry) -> bool:
    phase = _PHASES.get(entry.state)
    if phase is None or not entry.version.isdecimal():
        return False
    return phase is not HoldingPhase.FAILED or entry.reason not in _UNLOADED


def _key(entry: IndexEntry) -> _Key:
    return entry.name, int(entry.version)


def _read_index(page: bytes) -> tuple[IndexEntry, ...]:
    try:
        entries = json.loads(page)
    except RecursionError:
        raise ValueError("the repository index is nested beyond all measure") from None
    if not isinstance(entries, list):
        raise ValueError(f"expected a list of models, found {type(entries).__name__}")  # noqa: TRY004 - one error for what is read
    return tuple(IndexEntry.model_validate(entry) for entry in entries)


def _samples(page: bytes) -> list[_Sample]:
    samples: list[_Sample] = _WANTED.findall(b"\n" + page)
    return samples


@lru_cache(maxsize=65536)
def _parts(series: bytes) -> tuple[str, _Key | None, Mapping[str, str]]:
    """The family, the model and version that its labels name, and all labels."""
    family, _, rest = series.decode().partition("{")
    labels = dict(_LABEL.findall(rest))
    version = labels.get("version", "")
    return family, ((labels.get("model", ""), int(version)) if version.isdecimal() else None), labels
