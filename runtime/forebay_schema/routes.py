"""The route table: how the controller tells the gateways what answers for a model."""

from typing import ClassVar, Literal

from pydantic import Field

from forebay_schema.addresses import ModelAddress
from forebay_schema.digests import digest_of
from forebay_schema.documents import Document, Part

RouteState = Literal["routed", "held", "stopped"]


class Endpoint(Part):
    """A server as the gateway reaches it."""

    host: str
    http: int
    grpc: int


class WeightedVersion(Part):
    version: int
    weight: int = Field(ge=0, le=100)
    endpoints: tuple[Endpoint, ...]


class HoldLimits(Part):
    """How much may wait for a model with no ready replica; past any of them a request is refused with 503."""

    requests: int = 10_000
    bytes: int = 256 << 20
    seconds: float = 45.0


class Route(Part):
    """`routed`: weights add up to 100. `held`: requests wait for a replica. `stopped`: refused with `reason`."""

    namespace: str
    name: str
    state: RouteState
    reason: str = ""
    versions: tuple[WeightedVersion, ...] = ()
    hold: HoldLimits = HoldLimits()

    @property
    def address(self) -> ModelAddress:
        return ModelAddress(namespace=self.namespace, name=self.name)


class RouteTable(Document):
    """All routes that a gateway serves; a model that is not in it is unknown (404)."""

    document_name: ClassVar[str] = "route-table"

    default_namespace: str = "default"
    """The namespace of a model that is named by path alone."""
    routes: tuple[Route, ...] = ()

    def digest(self) -> str:
        """What the gateway reports as acknowledged once Envoy has it."""
        return digest_of(self.model_dump(mode="json"))
