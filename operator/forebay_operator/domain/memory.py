"""What the control step hands to its own next call: small, plain, and safe to lose.

Everything that must outlive the controller is in the statuses that the world writes. What is lost here is learned again:
delays start anew, orders that do not show yet are given again, and nothing is scaled down at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from forebay_operator.domain.demand import LoadMemory
from forebay_operator.domain.failures import LoadFailure
from forebay_operator.domain.fleet import Order, ReplicaKey
from forebay_operator.domain.pools import PoolMemory, Site
from forebay_operator.domain.revisions import SpecIdentity
from forebay_operator.domain.scaling import Scaling
from forebay_operator.domain.status import DeploymentStatus
from forebay_schema.addresses import ModelAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMemory:
    """What is remembered of one ModelDeployment."""

    uid: str
    said: DeploymentStatus | None = None
    """The status that this controller wrote last: the world may not show it yet."""
    figures_at: float | None = None
    """When live figures were last written into it."""
    scaling: Scaling | None = None
    load: LoadMemory | None = None
    starting: int = 0
    """Replicas that had a place and were not ready, after the last step."""
    reserved: str = ""
    """The server that was cleared for the new revision by a swap."""
    fading: frozenset[ReplicaKey] = frozenset()
    """Replicas that are on their way out."""
    identity: SpecIdentity | None = None
    site: Site | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    at: float | None = None
    """When the last step was."""
    models: Mapping[ModelAddress, ModelMemory] = field(default_factory=dict[ModelAddress, ModelMemory])
    orders: Mapping[ReplicaKey, Order] = field(default_factory=dict[ReplicaKey, Order])
    last_sequence: int = 0
    failures: Mapping[ReplicaKey, LoadFailure] = field(default_factory=dict[ReplicaKey, LoadFailure])
    pools: PoolMemory = field(default_factory=PoolMemory)
    unnamed_since: Mapping[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    """Artifacts (namespace, digest) that nobody names, and since when."""
