"""Everything the control step looks at, as one immutable value, and what it hands to its own next call."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.routes import Endpoint, Route
from forebay_operator.domain.status import Artifact
from forebay_schema.addresses import ModelAddress


@dataclass(frozen=True, slots=True, order=True)
class DeviceClass:
    """Devices that are alike."""

    kind: str
    """`cpu`, `gpu` or `simulated` (a simulated GPU: the step treats it as a GPU, messages say what it is)."""
    name: str
    """The product, for example `NVIDIA-H100-80GB-HBM3`; `cpu`; `simulated`."""
    memory_bytes: int


@dataclass(frozen=True, slots=True, order=True)
class Pool:
    """The servers of one namespace with the same device class; an exclusive model has a pool of its own."""

    namespace: str
    device: DeviceClass
    exclusive: str = ""
    """Name of the only model that may be placed here; empty: shared."""
    template: str = ""
    """Canonical JSON of the pod template of an exclusive pool."""


class ServerPhase(enum.Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """It was told to end: it takes nothing new and finishes what it has."""
    LOST = "lost"
    """It does not answer: its replicas count as gone, its device as still taken until the world removes the server."""


class HoldingPhase(enum.Enum):
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"
    FAILED = "failed"
    """The load was refused or failed; `Holding.reason` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One version of a model on one server, as the server's two pages say. Counters grow while the server lives."""

    model: str
    version: int
    phase: HoldingPhase
    reason: str = ""
    digest: str = ""
    footprint_bytes: int | None = None
    """Measured; None: not yet."""
    provider: str = ""
    instances: int = 1
    waiting: int | None = None
    """Requests in this server's queue. None: the metrics are missing (so also below)."""
    executing: int | None = None
    busy_seconds: float | None = None
    """Counter: time in execution, summed over the instances."""
    completed: int | None = None
    """Counter: requests answered."""
    failed_at: float | None = None
    """With `FAILED`: when the load failed, for the back-off."""
    refused_bytes: int | None = None
    """With `FAILED`: the device memory that a replica was found to need, where the load was refused for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One runtime process, which owns one device."""

    name: str
    """Unique for ever: a server that takes the place of another has another name."""
    pool: Pool
    phase: ServerPhase
    started_at: float
    endpoint: Endpoint | None = None
    """None until it is known."""
    holdings: tuple[Holding, ...] = ()
    observed_at: float | None = None
    """When its pages were last read; None: never."""
    message: str = ""
    """What the world knows of a server that does not get ready or was lost, in a sentence."""
    outdated: bool = False
    """Servers are made differently by now (a new image, other settings): what is here should move to a new one, given room."""


class ConversionPhase(enum.Enum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionFailure:
    stage: str
    cause: str
    remedy: str
    retryable: bool = False


class ConversionId(NamedTuple):
    """Conversions with the same id do the same: `digest` is taken of the source and the options."""

    namespace: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A conversion that was started and not yet forgotten."""

    id: ConversionId
    phase: ConversionPhase
    attempt: int = 1
    started_at: float = 0.0
    finished_at: float | None = None
    progress: str = ""
    """What it does now, for people."""
    artifact: Artifact | None = None
    """Set when it succeeded."""
    failure: ConversionFailure | None = None
    """Set when it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDemand:
    """What the gateways together report of one model."""

    held: int = 0
    in_flight: int = 0
    arrivals: int = 0
    """Counter: requests that came since the world began to listen; never falls while the controller runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many servers of a device class there can be in all. None: not known (a cluster decides when asked)."""

    device: DeviceClass
    servers: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What differs between installations, not between models."""

    warm_servers: int = 0
    """Servers that hold nothing and are kept, beside those in use, in the preferred shared pool of every model that is not
    stopped, as far as there are devices."""
    server_idle_s: float = 300.0
    """How long a server that holds nothing is kept."""
    server_start_timeout_s: float = 120.0
    hold_seconds: float = 45.0
    """How long a request may wait at the gateway."""
    artifact_grace_s: float = 3600.0
    """How long an artifact that nobody names is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifact:
    """An artifact that lies in the store."""

    namespace: str
    digest: str
    stored_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    now: float
    """Seconds since the epoch; never goes back. The only time the step knows."""
    deployments: tuple[Deployment, ...] = ()
    servers: tuple[Server, ...] = ()
    capacity: tuple[Capacity, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    artifacts: tuple[StoredArtifact, ...] = ()
    demand: Mapping[ModelAddress, GatewayDemand] | None = None
    """None: no gateway answers; then demand is unknown. A model that is not in it has none."""
    routes: tuple[Route, ...] = ()
    """The route table as last written, sorted by address."""
    routes_acknowledged: tuple[Route, ...] | None = None
    """The newest table that every gateway's Envoy has; None: not known. Requests may still go where it says."""
    settings: Settings = field(default_factory=Settings)
