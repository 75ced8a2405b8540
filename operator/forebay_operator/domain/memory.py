"""What the control step hands to its own next call: small, plain, and safe to lose.

Everything that must outlive the controller is in the statuses that the world writes. What is lost here is learned again:
delays start anew, orders that do not show yet are given again, and nothing is scaled down at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from forebay_operator.domain.failures import Failures
from forebay_operator.domain.fleet import Order, ReplicaKey, ServerReplicas
from forebay_operator.domain.model_memory import ModelMemory
from forebay_operator.domain.pools import PoolMemory, Site, SiteKey
from forebay_operator.domain.rest import Settled
from forebay_operator.domain.snapshot import DeviceClass, Settings
from forebay_operator.domain.status import DeploymentStatus
from forebay_schema.addresses import ModelAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """What saves work and changes nothing: not kept anywhere else than in the controller."""

    settled: Mapping[ModelAddress, Settled] = field(default_factory=dict[ModelAddress, Settled])
    """Models at rest."""
    statuses: Mapping[ModelAddress, DeploymentStatus] = field(default_factory=dict[ModelAddress, DeploymentStatus])
    """Of all models, as the step before returned them."""
    servers: Mapping[str, ServerReplicas] = field(default_factory=dict[str, ServerReplicas])
    classes: tuple[DeviceClass, ...] = ()
    sites: Mapping[SiteKey, Site] = field(default_factory=dict[SiteKey, Site])
    settings: Settings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    at: float | None = None
    """When the last step was."""
    models: Mapping[ModelAddress, ModelMemory] = field(default_factory=dict[ModelAddress, ModelMemory])
    orders: Mapping[ReplicaKey, Order] = field(default_factory=dict[ReplicaKey, Order])
    last_sequence: int = 0
    failures: Failures = field(default_factory=Failures)
    pools: PoolMemory = field(default_factory=PoolMemory)
    unnamed_since: Mapping[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    """Artifacts (namespace, digest) that nobody names, and since when."""
    collected_at: float | None = None
    """When artifacts were last looked through."""
    cache: Cache = field(default_factory=Cache, compare=False, repr=False)
