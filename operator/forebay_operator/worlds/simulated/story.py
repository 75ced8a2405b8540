"""What happens in a simulated world, told in full before it begins: a story and a step give one course of events."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from forebay_operator.domain.deployment import DeploymentSpec
from forebay_operator.domain.snapshot import Capacity, Settings
from forebay_operator.worlds.simulated.arrivals import Arrivals
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.faults import Fault
from forebay_operator.worlds.simulated.fleet import FleetSettings
from forebay_operator.worlds.simulated.gateway import GatewaySettings
from forebay_schema.addresses import ModelAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """A user creates a ModelDeployment or changes its spec."""

    at: float
    address: ModelAddress
    spec: DeploymentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A user deletes a ModelDeployment; it is seen as being deleted for a while (0: it is gone at once)."""

    at: float
    address: ModelAddress
    lingers_s: float = 0.0


Edit = Apply | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Clients ask a model from `at` until `until`."""

    at: float
    until: float
    address: ModelAddress
    arrivals: Arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All times in seconds since the beginning. After `busy_s` there are no faults and no edits."""

    seed: int = 0
    """Of the chance that is left: distances of arrivals, which action is lost, which server is tried first."""
    capacity: tuple[Capacity, ...]
    sources: Mapping[str, ModelBehaviour] = field(default_factory=dict[str, ModelBehaviour])
    edits: tuple[Edit, ...] = ()
    loads: tuple[Load, ...] = ()
    faults: tuple[Fault, ...] = ()
    settings: Settings = field(default_factory=Settings)
    fleet: FleetSettings = field(default_factory=FleetSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    busy_s: float = 120.0
    steady_s: float = 60.0
    """How long load goes on evenly after `busy_s`; then nobody asks any more."""
