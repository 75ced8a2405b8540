"""The four conditions of a ModelDeployment, as they are found after a step."""

from forebay_operator.domain.conditions import Finding
from forebay_operator.domain.diagnosis import Obstacle
from forebay_operator.domain.outcome import Outcome
from forebay_operator.domain.status import ConditionStatus, ConditionType
from forebay_operator.domain.summaries import NO_REPLICAS
from forebay_operator.domain.wording import counted, sentence

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def findings(outcome: Outcome, obstacle: Obstacle | None) -> tuple[Finding, ...]:
    return (_converted(outcome, obstacle), _placed(outcome), _ready(outcome, obstacle), _autoscaling(outcome))


def _converted(outcome: Outcome, obstacle: Obstacle | None) -> Finding:
    artifact = outcome.assessment.revisions.target.artifact
    if artifact is None:
        reason, text = (obstacle.reason, obstacle.text) if obstacle else ("NotConverted", "it is not converted")
        return Finding(ConditionType.CONVERTED, _FALSE, reason, _of_target(outcome, text))
    seen = artifact.verification
    drawn = "drawn " if seen.samples_drawn else ""
    text = f"agrees with its source on {seen.agreement * 100:.4g} % of {counted(seen.samples, f'{drawn}sample')}"
    if seen.accuracy is not None:
        text += f", and is right on {seen.accuracy * 100:.4g} % of the labelled ones"
    return Finding(ConditionType.CONVERTED, _TRUE, "Converted", _of_target(outcome, text))


def _placed(outcome: Outcome) -> Finding:
    assessment = outcome.assessment
    wanted = assessment.scaling.wanted
    if not assessment.sight.site.pools:
        return Finding(ConditionType.PLACED, _FALSE, "NoDevice", assessment.sight.site.reason)
    if not wanted:
        return Finding(ConditionType.PLACED, _TRUE, "NothingToPlace", "No replica is wanted.")
    short = outcome.target if outcome.target.unplaced else outcome.older
    if short.unplaced:
        have = wanted - min(short.unplaced, wanted)
        return Finding(
            ConditionType.PLACED, _FALSE, "NoRoom", sentence(f"{have} of {wanted} replicas have a place. {short.reason}")
        )
    if not assessment.claims:
        return Finding(ConditionType.PLACED, _FALSE, "NotConverted", "There is nothing to place before it is converted.")
    return Finding(ConditionType.PLACED, _TRUE, "Placed", f"{counted(wanted, 'replica')} placed.")


def _ready(outcome: Outcome, obstacle: Obstacle | None) -> Finding:
    assessment = outcome.assessment
    target = assessment.revisions.target.number
    if assessment.sight.deployment.deleting:
        return Finding(ConditionType.READY, _FALSE, "Deleting", "It is being deleted.")
    if assessment.sight.deployment.spec.stopped:
        return Finding(ConditionType.READY, _FALSE, "Stopped", "It is stopped: set spec.stopped to false to serve again.")
    if outcome.serving == target and outcome.is_awaiting_gateways:
        text = f"Revision {target} is ready, and gateways are about to send requests there."
        return Finding(ConditionType.READY, _FALSE, "GatewaysFollow", text)
    if outcome.serving == target:
        return Finding(ConditionType.READY, _TRUE, "Serving", f"Revision {target} serves.")
    if outcome.serving:
        why = obstacle.text if obstacle else "more of its replicas have to be ready first"
        text = f"Revision {outcome.serving} serves on; revision {target}: {why}"
        return Finding(ConditionType.READY, _FALSE, obstacle.reason if obstacle else "RollingOut", sentence(text))
    return _at_zero(outcome, obstacle)


def _at_zero(outcome: Outcome, obstacle: Obstacle | None) -> Finding:
    if obstacle is not None:
        return Finding(ConditionType.READY, _FALSE, obstacle.reason, _of_target(outcome, obstacle.text))
    if outcome.assessment.sight.deployment.spec.max_replicas == 0:
        return Finding(ConditionType.READY, _FALSE, "NoReplicas", NO_REPLICAS)
    return Finding(ConditionType.READY, _TRUE, "AtZero", "No replica is wanted; the next request loads one.")


def _autoscaling(outcome: Outcome) -> Finding:
    assessment = outcome.assessment
    if assessment.sight.deployment.spec.autoscaling is None:
        return Finding(
            ConditionType.AUTOSCALING, _FALSE, "Fixed", f"Fixed at {counted(assessment.scaling.wanted, 'replica')}."
        )
    unknown = assessment.scaling.unknown
    if unknown:
        return Finding(ConditionType.AUTOSCALING, _UNKNOWN, "SignalMissing", unknown)
    return Finding(ConditionType.AUTOSCALING, _TRUE, "Active", "The number of replicas follows the load.")


def _of_target(outcome: Outcome, text: str) -> str:
    return sentence(f"Revision {outcome.assessment.revisions.target.number}: {text}")
