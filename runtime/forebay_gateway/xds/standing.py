"""What is served of a route table of which Envoy refuses something: of each model the last route that it has taken. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from forebay_gateway.routing import NO_ROUTES, RouteIndex, held, shares
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Route


@dataclass(frozen=True, slots=True)
class _Refused:
    wanted: Route
    instead: tuple[Route, ...]
    """The first is served; none: Envoy takes nothing at all of this model."""
    reason: str


class Standing:
    """Remembers what Envoy took and what it refused; a refused route is tried again only when it is another one."""

    def __init__(self) -> None:
        self._refused: dict[ModelAddress, _Refused] = {}
        self.served: RouteIndex = NO_ROUTES
        """What Envoy has, all of it."""

    def of(self, table: RouteIndex) -> RouteIndex:
        """The table with what is served instead of what Envoy refused, and why."""
        self._refused = {
            address: refused for address, refused in self._refused.items() if table.find(address) == refused.wanted
        }
        if not self._refused:
            return table
        others = {address: route for address, route in table.routes.items() if address not in self._refused}
        instead = {address: each.instead[0] for address, each in self._refused.items() if each.instead}
        reasons = {address: f"Envoy refuses it: {each.reason}" for address, each in self._refused.items()}
        return replace(
            table,
            routes={**others, **instead},
            unusable={**table.unusable, **reasons},
        )

    def give_way(self, table: RouteIndex, reasons: Mapping[ModelAddress, str]) -> bool:
        """Envoy refuses these models as `of` the table has them: serve what they were before; whether there is a change."""
        present = self.of(table)
        affected = [address for address in reasons if present.find(address) is not None]
        for address in affected:
            known = self._refused.get(address)
            if known:
                self._refused[address] = replace(known, instead=known.instead[1:])
            else:
                wanted = table.routes[address]
                self._refused[address] = _Refused(wanted, self._alternatives(wanted), reasons[address])
        return bool(affected)

    def changed_rollouts(self, present: RouteIndex) -> set[ModelAddress]:
        """The models whose shares in a rollout are other ones than those that Envoy has."""
        return {address for address in present.routes if _shares(present, address) != _shares(self.served, address)}

    def _alternatives(self, wanted: Route) -> tuple[Route, ...]:
        """What to try instead: what Envoy has, then that requests wait."""
        served = self.served.find(wanted.address)
        waiting = held(wanted)
        tried = [wanted]
        for route in filter(None, (served, waiting)):
            if route not in tried:
                tried.append(route)
        return tuple(tried[1:])


def _shares(index: RouteIndex, address: ModelAddress) -> object:
    route = index.find(address)
    return shares(route) if route else ()
