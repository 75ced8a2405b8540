"""What is remembered of one ModelDeployment from step to step."""

from dataclasses import dataclass

from forebay_operator.domain.demand import LoadMemory
from forebay_operator.domain.fleet import ReplicaKey
from forebay_operator.domain.revisions import SpecIdentity
from forebay_operator.domain.scaling import Scaling
from forebay_operator.domain.status import DeploymentStatus


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
    """Digests of the spec that was seen last."""
    trailing_since: float | None = None
    """Since when gateways send requests elsewhere than they should."""

    def under_load(self, scaling: Scaling, load: LoadMemory | None) -> "ModelMemory":
        """The same, with another load. Written out, as `replace` takes several times as long: every busy model needs it."""
        return ModelMemory(
            uid=self.uid,
            said=self.said,
            figures_at=self.figures_at,
            scaling=scaling,
            load=load,
            starting=self.starting,
            reserved=self.reserved,
            fading=self.fading,
            identity=self.identity,
            trailing_since=self.trailing_since,
        )
