"""One ModelDeployment before placement: its revisions, its conversion, the replicas it wants and the course of its rollout."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from forebay_operator.domain import conversions, revisions, rollout
from forebay_operator.domain.conversions import Preparation
from forebay_operator.domain.demand import LoadMemory
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.failures import ModelFailures, VersionFailures
from forebay_operator.domain.fleet import Replica, VersionKey
from forebay_operator.domain.model_memory import ModelMemory
from forebay_operator.domain.placement import Claim
from forebay_operator.domain.pools import Site
from forebay_operator.domain.revisions import Revisions, SpecIdentity
from forebay_operator.domain.rollout import Rollout
from forebay_operator.domain.scaling import Scaling
from forebay_operator.domain.snapshot import Conversion
from forebay_operator.domain.status import DeploymentStatus, RevisionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one ModelDeployment is judged by, taken from the snapshot and the memory."""

    deployment: Deployment
    before: ModelMemory
    identity: SpecIdentity
    site: Site
    replicas: tuple[Replica, ...]
    conversion: Conversion | None
    failures: ModelFailures = field(default_factory=ModelFailures)

    @property
    def said(self) -> DeploymentStatus | None:
        """The newest status there is: what this controller wrote last, else what it found."""
        return self.before.said or self.deployment.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    sight: Sight
    revisions: Revisions
    preparation: Preparation
    scaling: Scaling
    rollout: Rollout
    failures: VersionFailures
    """Of the target."""
    load: LoadMemory | None
    claims: tuple[Claim, ...]

    def needs(self) -> dict[VersionKey, int]:
        """Device memory that a replica of each revision needs, as far as it is known."""
        deployment = self.sight.deployment
        declared = deployment.spec.placement.memory_bytes
        known = {each.number: revisions.need_of(each, declared) for each in self.revisions.records}
        return {(deployment.address, number): need.bytes for number, need in known.items() if need is not None}


def prepare(sight: Sight, routed_versions: Callable[[], Iterable[int]], now: float) -> tuple[Revisions, Preparation]:
    """The revisions, and how far the target's artifact is."""
    deployment = sight.deployment
    found = revisions.assess(deployment, sight.identity, sight.said, sight.replicas, routed_versions)
    preparation = conversions.prepare(sight.identity.conversion, deployment.spec, found.target.artifact, sight.conversion, now)
    if found.target.artifact is None and preparation.artifact is not None:
        found = revisions.converted(found, preparation.artifact, deployment.status)
    return found, preparation


def assess(
    sight: Sight, found: Revisions, preparation: Preparation, *, scaling: Scaling, load: LoadMemory | None, now: float
) -> Assessment:
    """What the ModelDeployment claims of the servers."""
    failed = sight.failures.of_version(found.target.number)
    course = rollout.advance(
        rollout.Standing(
            wanted=scaling.wanted,
            target=found.target.number,
            target_is_loadable=found.durable,
            target_has_failed=bool(failed),
            older=found.older.number if found.older else None,
            serving=sight.said.revision if sight.said else 0,
            replicas=sight.replicas,
            pools=sight.site.pools,
            fading=sight.before.fading,
        )
    )
    claims = [_claim(sight, found.target, course.target_replicas, course, now)] if course.target_replicas else []
    if course.older_replicas and found.older is not None:
        claims.append(_claim(sight, found.older, course.older_replicas, course, now))
    return Assessment(
        sight=sight,
        revisions=found,
        preparation=preparation,
        scaling=scaling,
        rollout=course,
        failures=failed,
        load=load,
        claims=tuple(claims),
    )


def _claim(sight: Sight, record: RevisionRecord, replicas: int, course: Rollout, now: float) -> Claim:
    need = revisions.need_of(record, sight.deployment.spec.placement.memory_bytes)
    failed = sight.failures.of_version(record.number)
    is_newest = bool(course.swappable) and record.number not in {each.version for each in course.swappable}
    pools = sight.site.pools
    return Claim(
        address=sight.deployment.address,
        version=record.number,
        need_bytes=max(need.bytes if need else 0, failed.refused_bytes),
        replicas=replicas,
        pools=pools,
        present=tuple(each for each in sight.replicas if each.version == record.number and each.server.pool in pools),
        refused=failed.refusing(now),
        may_open=failed.may_open(now, pools),
        swappable=course.swappable if is_newest or _are_misplaced(course.swappable, record) else (),
        reserved=sight.before.reserved,
        fading=sight.before.fading,
    )


def _are_misplaced(swappable: tuple[Replica, ...], record: RevisionRecord) -> bool:
    return bool(swappable) and all(each.version == record.number for each in swappable)
