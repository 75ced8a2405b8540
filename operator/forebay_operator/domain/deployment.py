"""What a user asked for: a ModelDeployment in the domain's own values, already defaulted and validated."""

from dataclasses import dataclass, field

from forebay_operator.domain.status import DeploymentStatus
from forebay_schema.addresses import ModelAddress


@dataclass(frozen=True, slots=True)
class TensorShape:
    """An input that the source's format does not describe. -1 is a dimension that varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    uri: str
    sha256: str | None = None
    format: str | None = None
    inputs: tuple[TensorShape, ...] = ()
    secret: str | None = None
    """Name of the Secret with the credentials for `uri`."""
    edition: str = ""
    """Tells contents of the same URI apart, where the world knows that they changed: another edition is another source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the converted model has to prove."""

    samples_uri: str | None = None
    max_relative_error: float = 1e-3
    min_agreement: float = 0.99
    min_accuracy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How a revision is served. Zero: no batching, no delay, no limit; for `instances`, the server chooses."""

    max_batch_size: int = 32
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    max_queue_size: int = 0
    queue_timeout_us: int = 0
    instances: int = 0
    provider: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    device: str = "auto"
    """auto, gpu or cpu."""
    gpu_class: str | None = None
    """None: any."""
    memory_bytes: int | None = None
    """Declared footprint: used until it is measured. None: the conversion's estimate."""
    exclusive: bool = False
    pod_template: str | None = None
    """Canonical JSON of the template for servers of an exclusive pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    min_replicas: int = 0
    max_replicas: int = 8
    target_queue_depth: float = 4.0
    """Waiting requests per replica."""
    scale_down_delay_s: float = 60.0
    idle_timeout_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    source: Source
    stopped: bool = False
    verification: Verification = field(default_factory=Verification)
    serving: Serving = field(default_factory=Serving)
    placement: Placement = field(default_factory=Placement)
    replicas: int = 1
    """Used when `autoscaling` is None."""
    autoscaling: Autoscaling | None = None

    @property
    def min_replicas(self) -> int:
        return self.replicas if self.autoscaling is None else self.autoscaling.min_replicas

    @property
    def max_replicas(self) -> int:
        return self.replicas if self.autoscaling is None else self.autoscaling.max_replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One ModelDeployment: its spec, and the status that was last written (None: never)."""

    address: ModelAddress
    uid: str
    generation: int
    spec: DeploymentSpec
    status: DeploymentStatus | None = None
    deleting: bool = False
    trouble: str = ""
    """What the world could not do for it and what to do, as a clause: `the name is taken by …: …`; empty: nothing."""
