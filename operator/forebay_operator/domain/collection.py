"""What nobody names any more: artifacts are deleted after a grace period."""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass

from forebay_operator.domain.actions import CollectArtifact
from forebay_operator.domain.snapshot import Conversion, ConversionPhase, Server, StoredArtifact
from forebay_operator.domain.status import DeploymentStatus

ArtifactKey = tuple[str, str]
"""Namespace and digest."""


@dataclass(frozen=True, slots=True)
class Collected:
    actions: tuple[CollectArtifact, ...]
    unnamed_since: Mapping[ArtifactKey, float]
    at: float
    """When artifacts were looked through."""


def named_by_status(namespace: str, status: DeploymentStatus | None) -> list[ArtifactKey]:
    """The artifacts that a status still needs."""
    if status is None:
        return []
    found = [record.artifact for record in status.revisions if record.artifact is not None]
    if status.artifact is not None:
        found.append(status.artifact)
    return [(namespace, artifact.digest) for artifact in found]


def named_by_world(servers: Iterable[Server], conversions: Iterable[Conversion]) -> set[ArtifactKey]:
    """The artifacts that servers hold or that conversions made."""
    named = {(server.pool.namespace, holding.digest) for server in servers for holding in server.holdings}
    named.update((each.id.namespace, each.artifact.digest) for each in conversions if each.artifact is not None)
    return named


def collect(
    artifacts: Iterable[StoredArtifact],
    named: Set[ArtifactKey],
    conversions: Collection[Conversion],
    unnamed_since: Mapping[ArtifactKey, float],
    *,
    grace_s: float,
    now: float,
) -> Collected:
    """Delete what has been without a name for the grace period, since it was stored and since it was first seen so.

    While a conversion runs in a namespace nothing is deleted there: it may be about to find an artifact instead of making one.
    """
    converting = {each.id.namespace for each in conversions if each.phase is ConversionPhase.RUNNING}
    since: dict[ArtifactKey, float] = {}
    actions: list[CollectArtifact] = []
    for artifact in artifacts:
        key = (artifact.namespace, artifact.digest)
        if key in named:
            continue
        since[key] = max(unnamed_since.get(key, now), artifact.stored_at)
        if now - since[key] >= grace_s and artifact.namespace not in converting:
            actions.append(CollectArtifact(namespace=artifact.namespace, digest=artifact.digest))
    return Collected(tuple(actions), since, now)
