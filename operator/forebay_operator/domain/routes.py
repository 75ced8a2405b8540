"""What the gateway answers with for a model."""

import enum
from dataclasses import dataclass

from forebay_schema.addresses import ModelAddress


class RouteState(enum.Enum):
    ROUTED = "routed"
    HELD = "held"
    """Requests wait at the gateway for a replica."""
    STOPPED = "stopped"
    """Requests are refused, with the reason."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    host: str
    http: int
    grpc: int


@dataclass(frozen=True, slots=True)
class WeightedVersion:
    version: int
    weight: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    address: ModelAddress
    state: RouteState
    reason: str = ""
    versions: tuple[WeightedVersion, ...] = ()
    """With `ROUTED`: at least one, weights add up to 100, each with endpoints. Otherwise none."""
