"""Adding up what gateways report, over restarts of the gateway."""

import dataclasses
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import TypeVar

from forebay_operator.domain.snapshot import GatewayDemand
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import DemandLine, ModelDemand

_Figure = TypeVar("_Figure")


@dataclass(frozen=True, slots=True)
class DemandSeen:
    """The demand that a gateway's lines amount to so far.

    Arrivals never fall while a model is kept: those of gateways that ended count, and those that a gateway has forgotten.
    """

    gateway: str = ""
    sequence: int = -1
    before: Mapping[ModelAddress, int] = field(default_factory=dict)
    """Arrivals that earlier gateways reported, or this one before it forgot the model."""
    arrivals: Mapping[ModelAddress, int] = field(default_factory=dict)
    """Arrivals that this gateway reported."""
    demand: Mapping[ModelAddress, GatewayDemand] = field(default_factory=dict)
    routes: str = ""
    """Digest of the route table that Envoy has acknowledged."""
    refused: frozenset[ModelAddress] = frozenset()
    """Models of which that table is not what Envoy follows: it refused what is new of them."""

    def after(self, line: DemandLine) -> "DemandSeen":
        """With one more line. One that is older than the last is ignored."""
        if line.gateway == self.gateway and line.sequence <= self.sequence:
            return self
        same = line.gateway == self.gateway
        reported = {ModelAddress(model.namespace, model.name): model for model in line.models}
        before = self._with_forgotten(reported) if same else self._totals()
        arrivals = {**(self.arrivals if same else {}), **{address: model.arrivals for address, model in reported.items()}}
        addresses = sorted({*before, *arrivals})
        demand = {
            address: GatewayDemand(
                held=reported[address].held if address in reported else 0,
                in_flight=reported[address].in_flight if address in reported else 0,
                arrivals=before.get(address, 0) + arrivals.get(address, 0),
            )
            for address in addresses
        }
        refused = frozenset(ModelAddress(route.namespace, route.name) for route in line.refused)
        return DemandSeen(line.gateway, line.sequence, before, arrivals, demand, line.routes, refused)

    def among(self, addresses: Set[ModelAddress]) -> "DemandSeen":
        """Without all other models: those that were deleted."""
        if addresses >= self.demand.keys():
            return self
        return dataclasses.replace(
            self,
            before=_kept(self.before, addresses),
            arrivals=_kept(self.arrivals, addresses),
            demand=_kept(self.demand, addresses),
        )

    def newly_held(self, earlier: "DemandSeen") -> bool:
        """Whether a model has held requests now that had none then."""
        held = {address for address, demand in self.demand.items() if demand.held}
        held_before = {address for address, demand in earlier.demand.items() if demand.held}
        return not held <= held_before

    def _with_forgotten(self, reported: Mapping[ModelAddress, ModelDemand]) -> Mapping[ModelAddress, int]:
        """A count that has fallen began again at zero: what it was before is kept."""
        forgotten = {
            address: self.before.get(address, 0) + self.arrivals[address]
            for address, model in reported.items()
            if model.arrivals < self.arrivals.get(address, 0)
        }
        return {**self.before, **forgotten}

    def _totals(self) -> dict[ModelAddress, int]:
        return {
            address: self.before.get(address, 0) + self.arrivals.get(address, 0) for address in {*self.before, *self.arrivals}
        }


def _kept(figures: Mapping[ModelAddress, _Figure], addresses: Set[ModelAddress]) -> Mapping[ModelAddress, _Figure]:
    return {address: figure for address, figure in figures.items() if address in addresses}
