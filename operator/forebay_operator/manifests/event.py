"""Events: what a person wants to know of an object, told once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import EVENTS, Json, Kind

_MOST_NOTE = 1024
"""Bytes, as API servers count."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an Event is about."""

    kind: Kind
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class News:
    """What there is to tell."""

    type: Literal["Normal", "Warning"]
    reason: str
    """CamelCase."""
    action: str
    """CamelCase: what was done, or tried."""
    note: str


def event(subject: Subject, news: News, reporter: str, now: float) -> Json:
    """`reporter`: this process's name."""
    note = _fitting(news.note)
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.name,
        "metadata": {"name": names.event(subject.uid, news.reason, note), "namespace": subject.namespace or "default"},
        "eventTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": news.type,
        "reason": news.reason,
        "action": news.action,
        "note": note,
        "reportingController": names.CONTROLLER,
        "reportingInstance": reporter,
        "regarding": {
            "apiVersion": subject.kind.api_version,
            "kind": subject.kind.name,
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
        },
    }


def _fitting(note: str) -> str:
    encoded = note.encode(errors="replace")
    if len(encoded) <= _MOST_NOTE:
        return encoded.decode()
    end = "…"
    # What is left of a character that is cut goes with it.
    return encoded[: _MOST_NOTE - len(end.encode())].decode(errors="ignore") + end
