"""The status of a ModelDeployment: structure is said at once, live figures now and then, nothing that is said already."""

from dataclasses import dataclass, replace

from forebay_operator.domain import conditions, diagnosis, findings, revisions, summaries
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.outcome import Outcome
from forebay_operator.domain.status import (
    DeploymentStatus,
    RevisionRecord,
    ScalingDecision,
    ScalingStatus,
)

_FIGURES_EVERY_S = 10.0
_DECISIONS_KEPT = 5


@dataclass(frozen=True, slots=True)
class Said:
    """A status, and when the live figures in it are from."""

    status: DeploymentStatus
    figures_at: float


def say(outcome: Outcome, now: float) -> Said:
    """The status to have now. It is the one before, the same value, when nothing but figures changed too little ago."""
    sight = outcome.assessment.sight
    before = sight.said
    queue = queue_depth(outcome.assessment.scaling.waiting, len(outcome.ready))
    if queue is None and before is not None and before.scaling is not None:
        queue = before.scaling.queue_depth
    obstacle = diagnosis.obstacle(outcome)
    summary = summaries.summarise(outcome, obstacle, queue)
    fresh = _build(outcome, obstacle, before, summary=str(summary), queue=queue, now=now)
    if before is None or fresh == before:
        return Said(fresh if before is None else before, now if before is None else sight.before.figures_at or now)
    if not (summary.differs_in_figures_only(before.summary) and _differs_in_figures_only(fresh, before)):
        return Said(fresh, now)
    written = sight.before.figures_at
    # After a loss of memory the age of the figures is unknown: they count as new.
    if written is None or now - written < _FIGURES_EVERY_S:
        return Said(before, now if written is None else written)
    return Said(fresh, now)


def _differs_in_figures_only(fresh: DeploymentStatus, before: DeploymentStatus) -> bool:
    """Whether all but the summary does."""
    scaling = fresh.scaling
    if scaling is not None and before.scaling is not None:
        scaling = replace(scaling, queue_depth=before.scaling.queue_depth)
    return replace(fresh, summary=before.summary, scaling=scaling) == before


def _build(
    outcome: Outcome,
    obstacle: diagnosis.Obstacle | None,
    before: DeploymentStatus | None,
    *,
    summary: str,
    queue: float | None,
    now: float,
) -> DeploymentStatus:
    deployment = outcome.assessment.sight.deployment
    shown = shown_revision(outcome)
    found = findings.findings(outcome, obstacle)
    return DeploymentStatus(
        observed_generation=deployment.generation,
        revision=shown.number,
        replicas=sum(each.is_coming_or_here for each in outcome.staying),
        ready_replicas=len(outcome.ready),
        selector=_selector(deployment),
        summary=summary,
        conditions=conditions.merge(before.conditions if before else (), found, deployment.generation, now),
        traffic=outcome.route.versions,
        revisions=outcome.assessment.revisions.records,
        artifact=shown.artifact,
        footprint=revisions.need_of(shown, deployment.spec.placement.memory_bytes),
        provider=_provider(outcome, before),
        scaling=_scaling(outcome, before.scaling if before else None, queue, now),
    )


def _selector(deployment: Deployment) -> str:
    """Finds the pods of an exclusive model's servers. No label finds those of a model that shares servers."""
    if not deployment.spec.placement.exclusive:
        return ""
    return f"app.kubernetes.io/component=server,forebay.dev/model={deployment.address.name}"


def shown_revision(outcome: Outcome) -> RevisionRecord:
    """The revision that serves; while none does, the one that served last, as long as it is a way back; else the target."""
    known = outcome.assessment.revisions
    if outcome.serving == known.target.number:
        return known.target
    said = outcome.assessment.sight.said
    before = known.older if known.older is not None else known.target
    if outcome.serving == before.number or (said is not None and said.revision == before.number):
        return before
    return known.target


def _provider(outcome: Outcome, before: DeploymentStatus | None) -> str:
    reported = sorted({each.holding.provider for each in outcome.ready if each.holding and each.holding.provider})
    if reported:
        return ", ".join(reported)
    return before.provider if before is not None else ""


def _scaling(outcome: Outcome, before: ScalingStatus | None, queue: float | None, now: float) -> ScalingStatus:
    scaling = outcome.assessment.scaling
    decisions = before.decisions if before else ()
    was = before.wanted if before else 0
    if scaling.wanted != was:
        decision = ScalingDecision(time=now, from_replicas=was, to_replicas=scaling.wanted, reason=scaling.reason)
        decisions = (*decisions, decision)[-_DECISIONS_KEPT:]
    kept = before.queue_depth if before else 0.0
    return ScalingStatus(wanted=scaling.wanted, queue_depth=kept if queue is None else queue, decisions=decisions)


def queue_depth(waiting: float | None, ready: int) -> float | None:
    """Waiting requests per ready replica, as a status gives them. None: not known."""
    return None if waiting is None else round(waiting / max(ready, 1), 1)


def are_figures_said(said: DeploymentStatus, queue: float | None) -> bool:
    """Whether a status says the newest figures, too."""
    return queue is None or said.scaling is None or said.scaling.queue_depth == queue


def are_figures_due(said: DeploymentStatus, figures_at: float | None, queue: float | None, now: float) -> bool:
    """Whether a status that says all but the newest figures should be written for their sake."""
    return not are_figures_said(said, queue) and (figures_at is None or now - figures_at >= _FIGURES_EVERY_S)
