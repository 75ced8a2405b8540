"""Adding up what gateways report, over restarts of the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from forebay_operator.domain.snapshot import GatewayDemand
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import DemandLine


@dataclass(frozen=True, slots=True)
class DemandSeen:
    """The demand that a gateway's lines amount to so far. Arrivals never fall: those of gateways that ended are kept."""

    gateway: str = ""
    sequence: int = -1
    before: Mapping[ModelAddress, int] = field(default_factory=dict)
    """Arrivals that earlier gateways reported."""
    arrivals: Mapping[ModelAddress, int] = field(default_factory=dict)
    """Arrivals that this gateway reported."""
    demand: Mapping[ModelAddress, GatewayDemand] = field(default_factory=dict)
    routes: str = ""
    """Digest of the route table that Envoy has acknowledged."""

    def after(self, line: DemandLine) -> "DemandSeen":
        """With one more line. One that is older than the last is ignored."""
        if line.gateway == self.gateway and line.sequence <= self.sequence:
            return self
        same = line.gateway == self.gateway
        before = self.before if same else self._totals()
        reported = {ModelAddress(model.namespace, model.name): model for model in line.models}
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
        return DemandSeen(line.gateway, line.sequence, before, arrivals, demand, line.routes)

    def newly_held(self, earlier: "DemandSeen") -> bool:
        """Whether a model has held requests now that had none then."""
        held = {address for address, demand in self.demand.items() if demand.held}
        held_before = {address for address, demand in earlier.demand.items() if demand.held}
        return not held <= held_before

    def _totals(self) -> dict[ModelAddress, int]:
        return {
            address: self.before.get(address, 0) + self.arrivals.get(address, 0) for address in {*self.before, *self.arrivals}
        }
