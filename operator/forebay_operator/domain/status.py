"""What the step says of a ModelDeployment. Written by the world, read back after a restart: it is the durable memory."""

import enum
from dataclasses import dataclass

from forebay_operator.domain.routes import WeightedVersion


class ConditionType(enum.Enum):
    CONVERTED = "Converted"
    PLACED = "Placed"
    READY = "Ready"
    AUTOSCALING = "Autoscaling"


class ConditionStatus(enum.Enum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    type: ConditionType
    status: ConditionStatus
    reason: str
    """CamelCase, for programs."""
    message: str
    """One sentence, for people."""
    observed_generation: int
    last_transition: float
    """When `status` last changed, seconds since the epoch."""


class FootprintSource(enum.Enum):
    MEASURED = "measured"
    ESTIMATED = "estimated"
    DECLARED = "declared"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Device memory that a replica needs."""

    bytes: int
    source: FootprintSource


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    samples: int
    samples_drawn: bool
    """Drawn by Forebay within the model's input ranges, not given by the user."""
    max_relative_error: float
    agreement: float
    accuracy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a conversion made of a source, as its result said."""

    digest: str
    size_bytes: int
    source_sha256: str
    converted_with: str
    verification: VerificationReport
    memory_bytes: int
    """The memory estimate of a replica at the revision's largest batch."""
    batching: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRecord:
    """A revision that still matters, with all that is needed to go on serving it after a loss of memory.

    `serving` is kept as canonical JSON of the serving settings: a record outlives the spec it came from.
    """

    number: int
    id: str
    serving: str
    artifact: Artifact | None = None
    footprint: Footprint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingDecision:
    time: float
    from_replicas: int
    to_replicas: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingStatus:
    wanted: int
    queue_depth: float
    """Waiting requests per ready replica, held ones included; rounded to one decimal."""
    decisions: tuple[ScalingDecision, ...] = ()
    """The last five changes, newest last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    observed_generation: int
    revision: int
    """Number of the revision that serves, or of the one being prepared while none does; 0: none yet."""
    replicas: int
    ready_replicas: int
    selector: str
    summary: str
    conditions: tuple[Condition, ...] = ()
    traffic: tuple[WeightedVersion, ...] = ()
    revisions: tuple[RevisionRecord, ...] = ()
    artifact: Artifact | None = None
    footprint: Footprint | None = None
    provider: str = ""
    """The execution provider that servers report; empty until one does."""
    scaling: ScalingStatus | None = None

    def condition(self, kind: ConditionType) -> Condition | None:
        """The condition of a kind, if there is one."""
        return next((condition for condition in self.conditions if condition.type is kind), None)
