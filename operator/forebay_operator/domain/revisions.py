"""The revisions of a ModelDeployment: which one its spec asks for, its number, and which others still matter."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from forebay_operator.domain.deployment import Deployment, DeploymentSpec, Serving
from forebay_operator.domain.fleet import Replica, ReplicaStage
from forebay_operator.domain.snapshot import ConversionId
from forebay_operator.domain.status import Artifact, DeploymentStatus, Footprint, FootprintSource, RevisionRecord
from forebay_schema.digests import canonical_json, digest_of


@dataclass(frozen=True, slots=True)
class SpecIdentity:
    """What a spec's digests are: computed once for each spec."""

    spec: DeploymentSpec
    revision_id: str
    conversion: ConversionId
    serving: str
    """Canonical JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """The revisions of one ModelDeployment that still matter."""

    target: RevisionRecord
    """What the spec asks for; without an artifact until it is converted."""
    older: RevisionRecord | None = None
    """What serves, or can serve, until the target does."""
    others: tuple[RevisionRecord, ...] = ()
    """Those that servers still hold."""
    durable: bool = False
    """Whether the target's number and artifact are in the written status: only then may servers hear of it."""

    @property
    def records(self) -> tuple[RevisionRecord, ...]:
        older = () if self.older is None else (self.older,)
        return tuple(sorted((*self.others, *older, self.target), key=lambda record: record.number))


def identify(namespace: str, spec: DeploymentSpec) -> SpecIdentity:
    source, verification, serving = asdict(spec.source), asdict(spec.verification), asdict(spec.serving)
    conversion = {"source": source, "verification": verification, "max_batch_size": spec.serving.max_batch_size}
    return SpecIdentity(
        spec=spec,
        revision_id=digest_of({"source": source, "verification": verification, "serving": serving}),
        conversion=ConversionId(namespace, digest_of(conversion)),
        serving=canonical_json(serving).decode(),
    )


def serving_of(record: RevisionRecord) -> Serving:
    """The serving settings that a record keeps as JSON."""
    values = json.loads(record.serving)
    values["preferred_batch_sizes"] = tuple(values["preferred_batch_sizes"])
    return Serving(**values)


def loaded_serving_of(record: RevisionRecord) -> Serving:
    """The settings that a server can load it with: a model whose batch dimension is fixed takes no batches."""
    serving = serving_of(record)
    if record.artifact is None or record.artifact.batching:
        return serving
    return replace(serving, max_batch_size=0, preferred_batch_sizes=())


def assess(
    deployment: Deployment,
    identity: SpecIdentity,
    said: DeploymentStatus | None,
    replicas: tuple[Replica, ...],
    routed_versions: Callable[[], Iterable[int]],
) -> Revisions:
    """Find the revisions that matter.

    `said`: the status as this controller last wrote it, else as it was read. `routed_versions`: versions that route tables
    name; asked only when a new number is needed, which must be above every number that anyone may still use.
    """
    records = {record.number: record for record in (said.revisions if said else ())}
    target = _target(records, identity) or _new_record(records, identity, said, replicas, routed_versions)
    records[target.number] = target
    measured = {number: _measured(record, replicas) for number, record in records.items()}
    target = measured.pop(target.number)
    older = _older(measured, target, said, replicas)
    held = {replica.version for replica in replicas if replica.is_coming_or_here}
    return Revisions(
        target=target,
        older=older,
        others=tuple(record for number, record in measured.items() if number in held and record is not older),
        durable=_is_durable(target, deployment.status),
    )


def converted(revisions: Revisions, artifact: Artifact, written: DeploymentStatus | None) -> Revisions:
    """The same revisions, the target with its artifact."""
    target = replace(revisions.target, artifact=artifact)
    return replace(revisions, target=target, durable=_is_durable(target, written))


def need_of(record: RevisionRecord, declared_bytes: int | None) -> Footprint | None:
    """Device memory of a replica: measured, else declared, else estimated; None as long as nothing is known."""
    if record.footprint is not None and record.footprint.source is FootprintSource.MEASURED:
        return record.footprint
    if declared_bytes is not None:
        return Footprint(declared_bytes, FootprintSource.DECLARED)
    if record.artifact is None:
        return None
    return Footprint(record.artifact.memory_bytes, FootprintSource.ESTIMATED)


def _target(records: dict[int, RevisionRecord], identity: SpecIdentity) -> RevisionRecord | None:
    newest = records[max(records)] if records else None
    return newest if newest is not None and newest.id == identity.revision_id else None


def _new_record(
    records: dict[int, RevisionRecord],
    identity: SpecIdentity,
    said: DeploymentStatus | None,
    replicas: tuple[Replica, ...],
    routed_versions: Callable[[], Iterable[int]],
) -> RevisionRecord:
    used = {0, said.revision if said else 0, *records, *routed_versions(), *(replica.version for replica in replicas)}
    same = next((record for record in records.values() if record.id == identity.revision_id and record.artifact), None)
    return RevisionRecord(
        number=max(used) + 1,
        id=identity.revision_id,
        serving=identity.serving,
        artifact=same.artifact if same else None,
        footprint=same.footprint if same else None,
    )


def _measured(record: RevisionRecord, replicas: tuple[Replica, ...]) -> RevisionRecord:
    """The record with the largest footprint that any of its replicas was measured to have."""
    seen = [replica.footprint_bytes or 0 for replica in replicas if replica.version == record.number]
    before = record.footprint.bytes if record.footprint and record.footprint.source is FootprintSource.MEASURED else 0
    largest = max(seen, default=0)
    if largest <= before:
        return record
    return replace(record, footprint=Footprint(largest, FootprintSource.MEASURED))


def _older(
    records: dict[int, RevisionRecord], target: RevisionRecord, said: DeploymentStatus | None, replicas: tuple[Replica, ...]
) -> RevisionRecord | None:
    """What the status names as serving, unless that is the target; without ready replicas, one that has some is better."""
    ready = {replica.version for replica in replicas if replica.stage is ReplicaStage.READY}
    named = records.get(said.revision) if said else None
    if named is not None and named.artifact is not None and named.number in ready:
        return named
    serving = [number for number, record in records.items() if number in ready and record.artifact is not None]
    if serving and target.number not in ready:
        return records[max(serving)]
    return named if named is not None and named.artifact is not None else None


def _is_durable(target: RevisionRecord, written: DeploymentStatus | None) -> bool:
    if written is None or target.artifact is None:
        return False
    return any(
        record.number == target.number and record.id == target.id and record.artifact == target.artifact
        for record in written.revisions
    )
