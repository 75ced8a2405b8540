"""How many replicas a ModelDeployment wants, and why: fixed, stopped, or as the autoscaler decides."""

from dataclasses import dataclass

from forebay_operator.domain.autoscaling import ScalingMemory
from forebay_operator.domain.deployment import DeploymentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    wanted: int
    reason: str
    memory: ScalingMemory | None = None
    unknown: str = ""
    """Which signal is missing, in a sentence; empty: none."""
    waiting: float | None = 0.0
    """Requests waiting for the model, held ones included. None: not known."""


def fixed(spec: DeploymentSpec) -> Scaling:
    if spec.stopped:
        return Scaling(wanted=0, reason="Stopped.")
    return Scaling(wanted=spec.min_replicas, reason="The number of replicas is fixed.")
