"""What is worth a line when a status changes: structure and reasons, never live figures alone."""

from forebay_operator.domain.status import ConditionStatus, ConditionType, DeploymentStatus, ScalingDecision


def announcements(before: DeploymentStatus | None, after: DeploymentStatus) -> list[str]:
    """The sentences that tell a person what became of a model."""
    told = [_scaled(decision) for decision in _new_decisions(before, after)]
    if before is None or _structure(before) != _structure(after) or (not _ready(after) and before.summary != after.summary):
        told.append(after.summary)
    return told


def _structure(status: DeploymentStatus) -> object:
    conditions = [(condition.type, condition.status, condition.reason) for condition in status.conditions]
    traffic = [(share.version, share.weight) for share in status.traffic]
    return (status.revision, status.replicas, status.ready_replicas, conditions, traffic)


def _ready(status: DeploymentStatus) -> bool:
    condition = status.condition(ConditionType.READY)
    return condition is not None and condition.status is ConditionStatus.TRUE


def _new_decisions(before: DeploymentStatus | None, after: DeploymentStatus) -> list[ScalingDecision]:
    known = set(before.scaling.decisions) if before and before.scaling else set()
    return [decision for decision in (after.scaling.decisions if after.scaling else ()) if decision not in known]


def _scaled(decision: ScalingDecision) -> str:
    return f"{decision.from_replicas} → {decision.to_replicas} replicas: {decision.reason}"
