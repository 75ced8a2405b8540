"""The two pages of a server, read as often as once a second from a thousand servers: one regular expression, no parser.

Only the families that the controller asks for are looked at, and labels that were seen before are not read again.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from forebay_operator.worlds.local.server_pages import MetricsPage
from forebay_schema import metrics
from forebay_schema.repository import IndexEntry

_FAMILIES: Final = (
    metrics.PENDING,
    metrics.REQUEST_SUCCESS,
    metrics.REQUEST_FAILURE,
    metrics.BUSY_SECONDS,
    metrics.EXECUTING,
    metrics.MODEL_MEMORY,
    metrics.MODEL_INSTANCES,
    metrics.MODEL_INFO,
    metrics.DEVICE_MEMORY,
    metrics.SERVER_DRAINING,
)
_WANTED: Final = re.compile(rf"^({'|'.join(_FAMILIES)})(?:{{([^\n]*)}})? (\S+)".encode(), re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_Key = tuple[str, int]


def read_metrics(page: bytes) -> MetricsPage:
    """Read a metrics page.

    Raises:
        ValueError: a figure is no number.
    """
    by_version: dict[_Key, dict[str, float]] = defaultdict(dict)
    info: dict[_Key, Mapping[str, str]] = {}
    memory: int | None = None
    draining = False
    for family, labels, value in _WANTED.findall(page):
        key, named = _labels(labels)
        name = family.decode()
        if key is not None:
            figures = by_version[key]
            figures[name] = figures.get(name, 0.0) + float(value)
            if name == metrics.MODEL_INFO:
                info[key] = named
        elif name == metrics.DEVICE_MEMORY:
            memory = int(float(value))
        elif name == metrics.SERVER_DRAINING:
            draining = float(value) > 0
    return MetricsPage(by_version=dict(by_version), info=info, device_memory_bytes=memory, draining=draining)


def read_index(page: bytes) -> tuple[IndexEntry, ...]:
    """Read a repository index.

    Raises:
        ValueError: it is none.
    """
    entries = json.loads(page)
    if not isinstance(entries, list):
        raise ValueError(f"expected a list of models, found {type(entries).__name__}")  # noqa: TRY004 - one error for what is read
    return tuple(IndexEntry.model_validate(entry) for entry in entries)


@lru_cache(maxsize=65536)
def _labels(text: bytes) -> tuple[_Key | None, Mapping[str, str]]:
    """The model and version that labels name, and all of them."""
    named = dict(_LABEL.findall(text.decode()))
    version = named.get("version", "")
    return ((named.get("model", ""), int(version)) if version.isdecimal() else None), named
