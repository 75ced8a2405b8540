"""Which pods and Deployments are what they say.

Labels and annotations are written by whoever may make an object: what claims to be of another namespace's pool, or of none
that could be, is left out of everything, and that is said once.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from forebay_operator.domain.snapshot import Pool
from forebay_operator.manifests import names
from forebay_operator.manifests.event import News, Subject
from forebay_operator.manifests.installation import GPU_RESOURCE
from forebay_operator.manifests.kinds import DEPLOYMENTS, PODS, Kind
from forebay_operator.manifests.pool import pool_of
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.logs import Logger

_REMEMBERED: Final = 4096
_MOST_NAME: Final = 63
_K = TypeVar("_K")
_V = TypeVar("_V")
_log: Final = Logger("forebay.claims")


@dataclass(frozen=True, slots=True)
class _Named:
    """A pool that an annotation names, and what it bears out."""

    pool: Pool
    digest: str
    deployment: str
    """With the template that the object is labelled with."""


class Claims:
    """Reads the pools of objects, and believes none that the object's own namespace and name do not bear out."""

    def __init__(self, tell: Callable[[Subject, News], None]) -> None:
        self._tell = tell
        self._read: OrderedDict[tuple[str, str], _Named | None] = OrderedDict()
        self._told: OrderedDict[str, None] = OrderedDict()

    def pool_of_server(self, pod: Seen) -> Pool | None:
        """The pool that a server's pod is of; None: it is no server of ours, whatever it says."""
        known = self._known(pod)
        return self._believed(PODS, pod, known, _doubt_of_server(known, pod))

    def pool_of_deployment(self, live: Seen) -> Pool | None:
        """The pool that a Deployment makes servers of; None: it is none of ours, whatever it says."""
        if names.POOL not in live.annotations:
            return None
        known = self._known(live)
        return self._believed(DEPLOYMENTS, live, known, _doubt_of_deployment(known, live))

    def ignore(self, kind: Kind, seen: Seen, why: str) -> None:
        """Say, once, that an object is left out."""
        if seen.uid in self._told:
            return
        _remember(self._told, seen.uid, None)
        _log.warning("an object is ignored", object=f"{kind.name} {seen.namespace}/{seen.name}", reason=why)
        note = f"Forebay ignores it: {why}. Delete it; Forebay makes its servers itself."
        self._tell(Subject(kind, seen.namespace, seen.name, seen.uid), News("Warning", "Ignored", "Ignore", note))

    def _believed(self, kind: Kind, seen: Seen, known: _Named | None, why: str) -> Pool | None:
        if known is not None and not why:
            return known.pool
        self.ignore(kind, seen, why)
        return None

    def _known(self, seen: Seen) -> _Named | None:
        key = seen.annotations.get(names.POOL, ""), seen.labels.get(names.TEMPLATE, "")
        if key not in self._read:
            _remember(self._read, key, _named(*key))
        return self._read[key]


def pool_of_server(pod: Seen) -> Pool | None:
    """The pool that a server's pod is of; None: it is no server of ours, whatever it says."""
    known = _named(pod.annotations.get(names.POOL, ""), pod.labels.get(names.TEMPLATE, ""))
    return known.pool if known is not None and not _doubt_of_server(known, pod) else None


def _doubt_of_server(known: _Named | None, pod: Seen) -> str:
    """Why a pod is no server of the pool that it names; empty: it is."""
    if why := _contradiction(known, pod):
        return why
    if known is not None and not pod.name.startswith(f"{known.deployment}-"):
        return "its name is not one that pods of its pool have"
    if known is not None and known.pool.device.kind == "gpu" and not _asks_for_a_gpu(pod):
        return f"its pool's servers have a GPU each, and it asks for no {GPU_RESOURCE}"
    return ""


def _doubt_of_deployment(known: _Named | None, live: Seen) -> str:
    if why := _contradiction(known, live):
        return why
    return "its name is not the one that its pool gives it" if known is not None and live.name != known.deployment else ""


def _named(text: str, template: str) -> _Named | None:
    pool = pool_of(text)
    return _Named(pool, names.pool_digest(pool), names.pool_deployment(pool, template)) if pool is not None else None


def _contradiction(known: _Named | None, seen: Seen) -> str:
    """What of an object contradicts its claim; empty: nothing."""
    if known is None:
        return f"its annotation {names.POOL} names no pool"
    if known.pool.namespace != seen.namespace:
        return f"it claims a pool of the namespace {known.pool.namespace[:_MOST_NAME]}"
    if seen.labels.get(names.POOL) != known.digest:
        return f"its label {names.POOL} is not the digest of the pool in its annotation"
    return ""


def _asks_for_a_gpu(pod: Seen) -> bool:
    """Whether a quota of GPUs counts it: what has none must not seem to hold one."""
    spec: Mapping[str, Any] = pod.object.get("spec") or {}
    limits = ((each.get("resources") or {}).get("limits") or {} for each in spec.get("containers") or ())
    return any(str(limit.get(GPU_RESOURCE, "0")) != "0" for limit in limits)


def _remember(known: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    known[key] = value
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
