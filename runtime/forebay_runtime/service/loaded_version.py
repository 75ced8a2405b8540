"""One version of a model that is loaded: all that answers its requests."""

from dataclasses import dataclass, field
from typing import Final

from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.protocol.inference import InferPlan
from forebay_runtime.protocol.model_config import ServedAs
from forebay_runtime.protocol.signature import ModelSignature
from forebay_runtime.service.batcher import Batcher
from forebay_runtime.service.statistics import Statistics

_KEPT_PLANS: Final = 512
_LONGEST_KEPT: Final = 8192


class PlanCache:
    """Plans by the bytes that described them; bounded in number and size of the descriptions."""

    def __init__(self) -> None:
        self._plans: dict[bytes, InferPlan] = {}

    def get(self, description: bytes) -> InferPlan | None:
        return self._plans.get(description)

    def keep(self, description: bytes, plan: InferPlan) -> InferPlan:
        """Remember the plan where it may be used again; return it."""
        if plan.reusable and len(description) <= _LONGEST_KEPT:
            if len(self._plans) >= _KEPT_PLANS:
                # Clients whose every description differs (a new id each time) must not push out the others for ever.
                self._plans.clear()
            self._plans[description] = plan
        return plan


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version came from. Equal origins need no second load."""

    digest: str
    """Of the artifact, or the fingerprint of the files in the repository."""
    config: str
    """The configuration as it was given (JSON), before completion."""
    from_artifact: bool


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    key: VersionKey
    served: ServedAs
    origin: Origin
    batcher: Batcher
    statistics: Statistics
    footprint_bytes: int
    provider: str
    load_seconds: float
    http_plans: PlanCache = field(default_factory=PlanCache)
    grpc_plans: PlanCache = field(default_factory=PlanCache)

    @property
    def signature(self) -> ModelSignature:
        return self.served.signature
