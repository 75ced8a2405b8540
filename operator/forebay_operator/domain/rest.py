"""Models for which there is nothing to do: as long as nothing they depend on changes, they are passed over.

This is what makes a step over thousands of models cheap. It is a cache: without it every model is looked at, with the same
result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from forebay_operator.domain import collection, statuses
from forebay_operator.domain.collection import ArtifactKey
from forebay_operator.domain.conversions import ConversionState
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.fleet import Replica, ReplicaKey, VersionKey
from forebay_operator.domain.model_memory import ModelMemory
from forebay_operator.domain.outcome import Outcome
from forebay_operator.domain.pools import Site
from forebay_operator.domain.scaling import Scaling
from forebay_operator.domain.snapshot import Conversion, ConversionId, GatewayDemand
from forebay_operator.domain.status import DeploymentStatus

_SETTLED = (ConversionState.DONE, ConversionState.FAILED, ConversionState.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Rest:
    """A model that has all it should have, as it was when that was found."""

    outcome: Outcome
    replicas: tuple[Replica, ...]
    gateway: GatewayDemand | None
    scaling: Scaling
    keys: tuple[ReplicaKey, ...]
    artifacts: tuple[ArtifactKey, ...]
    """What its status names."""
    site: Site | None
    """Where it may need a server; None: it needs none."""
    awaited: ConversionId | None
    """The conversion that is kept for it."""
    needs: tuple[tuple[VersionKey, int], ...]
    """Device memory of its revisions, if that of its replicas is not measured."""

    def is_same(self, deployment: Deployment, replicas: Sequence[Replica], conversion: Conversion | None) -> bool:
        """Whether everything but the load is what it was."""
        sight = self.outcome.assessment.sight
        return (
            (deployment is sight.deployment or deployment == sight.deployment)
            and _are_same(replicas, self.replicas)
            and (conversion is sight.conversion or conversion == sight.conversion)
        )

    def is_untouched(self, replicas: Sequence[Replica], gateway: GatewayDemand | None, now: float) -> bool:
        """Whether the load is what it was, too, and the decision about it still stands."""
        return (
            now < self.scaling.same_until
            and (gateway is self.gateway or gateway == self.gateway)
            and all(map(_is_idle_as_before, replicas, self.replicas))
        )

    def under_load(self, replicas: tuple[Replica, ...], gateway: GatewayDemand | None, scaling: Scaling) -> "Rest":
        """The same model with another load, which calls for nothing else."""
        return Rest(
            outcome=self.outcome,
            replicas=replicas,
            gateway=gateway,
            scaling=scaling,
            keys=self.keys,
            artifacts=self.artifacts,
            site=self.site,
            awaited=self.awaited,
            needs=self.needs,
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """A model at rest, and what is remembered of it."""

    rest: Rest
    memory: ModelMemory


def rest_of(outcome: Outcome, said: DeploymentStatus, gateway: GatewayDemand | None) -> Rest | None:
    """The model at rest, if it is: nothing of it is on its way, nothing is missing, and its status is written and complete."""
    assessment = outcome.assessment
    deployment = assessment.sight.deployment
    kept = (*outcome.target.kept, *outcome.older.kept)
    if (
        deployment.deleting
        or deployment.status != said
        or assessment.preparation.state not in _SETTLED
        or (assessment.preparation.state is ConversionState.DONE and not assessment.revisions.durable)
        or outcome.leaving
        or outcome.is_awaiting_gateways
        or assessment.rollout.retained
        or assessment.sight.failures
        or len(kept) != len(assessment.sight.replicas)
        or not all(replica.is_ready for replica in kept)
        or any(replica.server.outdated for replica in kept)
        or any(placed.added or placed.planned or placed.unplaced for placed in (outcome.target, outcome.older))
    ):
        return None
    return Rest(
        outcome=outcome,
        replicas=assessment.sight.replicas,
        gateway=gateway,
        scaling=_looked_at_again_for_figures(outcome, said),
        keys=tuple(replica.key for replica in kept),
        artifacts=tuple(collection.named_by_status(deployment.address.namespace, said)),
        site=None if deployment.spec.stopped else assessment.sight.site,
        awaited=None if assessment.revisions.durable else assessment.sight.identity.conversion,
        needs=() if all(replica.footprint_bytes is not None for replica in kept) else tuple(assessment.needs().items()),
    )


def _looked_at_again_for_figures(outcome: Outcome, said: DeploymentStatus) -> Scaling:
    """The decision; it stands for no time as long as there are figures that are not said yet."""
    scaling = outcome.assessment.scaling
    queue = statuses.queue_depth(scaling.waiting, len(outcome.ready))
    return scaling if statuses.are_figures_said(said, queue) else replace(scaling, same_until=scaling.at)


def _are_same(now: Sequence[Replica], before: Sequence[Replica]) -> bool:
    if not now and not before:
        return True
    return len(now) == len(before) and all(map(_is_same, now, before))


def _is_same(now: Replica, before: Replica) -> bool:
    """Whether a replica is what it was, but for its load."""
    if now is before:
        return True
    new, old = now.holding, before.holding
    return (
        now.stage is before.stage
        and now.version == before.version
        and now.server.name == before.server.name
        and now.server.phase is before.server.phase
        and now.server.endpoint == before.server.endpoint
        and now.server.outdated == before.server.outdated
        and new is not None
        and old is not None
        and new.digest == old.digest
        and new.footprint_bytes == old.footprint_bytes
        and new.provider == old.provider
    )


def _is_idle_as_before(now: Replica, before: Replica) -> bool:
    return now is before or now.holding == before.holding
