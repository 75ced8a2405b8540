"""Every name that the gateway and its Envoy share."""

from dataclasses import dataclass
from typing import Final, Literal

from forebay_schema.addresses import ModelAddress

Protocol = Literal["h", "g"]
"""`h`: HTTP/1.1 to the servers' HTTP port; `g`: HTTP/2 to their gRPC port."""
PROTOCOLS: Final[tuple[Protocol, Protocol]] = ("h", "g")

ROUTES: Final = "models"
XDS_CLUSTER: Final = "xds"
METADATA: Final = "forebay"
REPLICAS: Final = "replicas"
HOLDER: Final = "holder"
"""Localities of a cluster's two priorities; load reports are kept apart by them."""

HOLDER_CLUSTERS: Final[dict[Protocol, str]] = {"h": "holder-http", "g": "holder-grpc"}
"""Where requests go that no replica should see: unknown models, wrong paths, health."""


@dataclass(frozen=True, slots=True, order=True)
class ClusterName:
    """`h/NAMESPACE/NAME` answers for a model; `h/NAMESPACE/NAME/VERSION` for one version of it during a rollout."""

    protocol: Protocol
    address: ModelAddress
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.protocol}/{self.address}" + (f"/{self.version}" if self.version is not None else "")

    @staticmethod
    def parse(text: str) -> "ClusterName | None":
        """The model's cluster that a name stands for, or None for Envoy's other clusters."""
        parts = text.split("/")
        if len(parts) not in (3, 4) or parts[0] not in PROTOCOLS:
            return None
        protocol: Protocol = "h" if parts[0] == "h" else "g"
        version = int(parts[3]) if len(parts) == 4 else None  # noqa: PLR2004  (the form above)
        return ClusterName(protocol, ModelAddress(namespace=parts[1], name=parts[2]), version)
