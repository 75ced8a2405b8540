"""A simulated gateway: Envoy, which routes by the newest table it was given, and the hold in front of it."""

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from forebay_operator.domain.routes import Endpoint, Route, RouteState, WeightedVersion
from forebay_operator.domain.snapshot import GatewayDemand
from forebay_operator.worlds.simulated.requests import Ledger, Outcome, Request
from forebay_operator.worlds.simulated.timeline import Timeline
from forebay_schema.addresses import ModelAddress

LETTING_GO_S = 0.25
"""How often the hold looks for room in the replicas."""

Offer = Callable[[Endpoint, Request, int], bool]
"""Sends a request for a version to an endpoint; False is the retry answer, or that nothing listens there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    apply_s: float = 0.3
    """From a written table to the first Envoy that routes by it."""
    acknowledge_s: float = 0.6
    """From a written table to the report that every Envoy has it."""
    hold_s: float = 45.0
    hold_requests: int = 10_000
    room: int = 32
    """Requests in one replica up to which the hold lets more go."""


@dataclass(slots=True, eq=False)
class SimulatedGateway:
    settings: GatewaySettings
    timeline: Timeline
    ledger: Ledger
    chance: random.Random
    offer: Offer
    woken: Callable[[], None]
    """Called when a model without a ready replica gets its first request."""
    written: tuple[Route, ...] = ()
    acknowledged: tuple[Route, ...] = ()
    silent_until: float = 0.0
    """While it is silent, the controller hears nothing of it; it serves on."""
    held: dict[ModelAddress, deque[Request]] = field(default_factory=dict[ModelAddress, deque[Request]])
    in_flight: Counter[tuple[ModelAddress, Endpoint]] = field(default_factory=Counter[tuple[ModelAddress, Endpoint]])
    _heard: Counter[ModelAddress] = field(default_factory=Counter[ModelAddress])
    """Arrivals before the controller began to listen."""
    _sent: dict[Request, Endpoint] = field(default_factory=dict[Request, Endpoint])
    _applied: dict[ModelAddress, Route] = field(default_factory=dict[ModelAddress, Route])
    _writes: int = 0
    _applied_write: int = 0

    @property
    def silent(self) -> bool:
        return self.timeline.now < self.silent_until

    def write(self, routes: tuple[Route, ...]) -> None:
        """A new table: routed by soon, acknowledged a little later. The same once more changes nothing."""
        if routes == self.written:
            return
        self.written = routes
        self._writes += 1
        number = self._writes
        self.timeline.after(self.settings.apply_s, partial(self._apply, number, routes))

    def arrive(self, address: ModelAddress) -> None:
        """A client asks."""
        self._route(self.ledger.arrive(address, self.timeline.now))

    def ended(self, request: Request, outcome: Outcome) -> None:
        """A request that was sent to a server has been answered, or ended with the server."""
        endpoint = self._sent.pop(request)
        self.in_flight[request.address, endpoint] -= 1
        self.ledger.end(request, outcome, self.timeline.now)

    def listen_anew(self) -> None:
        """A restarted controller counts arrivals from now on."""
        self._heard = Counter(self.ledger.arrived)

    def demand(self) -> dict[ModelAddress, GatewayDemand]:
        """What the controller hears when the gateway is not silent."""
        flying: Counter[ModelAddress] = Counter()
        for (address, _), count in self.in_flight.items():
            flying[address] += count
        return {
            address: GatewayDemand(
                held=len(self.held.get(address, ())),
                in_flight=flying[address],
                arrivals=arrivals - self._heard[address],
            )
            for address, arrivals in self.ledger.arrived.items()
        }

    def _apply(self, number: int, routes: tuple[Route, ...]) -> None:
        if number < self._applied_write:
            return
        self._applied_write = number
        self._applied = {route.address: route for route in routes}
        self.timeline.after(self.settings.acknowledge_s - self.settings.apply_s, partial(self._acknowledge, number, routes))
        for address in list(self.held):
            self._let_go(address)

    def _acknowledge(self, number: int, routes: tuple[Route, ...]) -> None:
        if number == self._applied_write:
            self.acknowledged = routes

    def _route(self, request: Request) -> None:
        route = self._applied.get(request.address)
        if route is None:
            self.ledger.end(request, Outcome.UNKNOWN, self.timeline.now)
        elif route.state is RouteState.STOPPED:
            self.ledger.end(request, Outcome.STOPPED, self.timeline.now)
        elif route.state is RouteState.HELD or not self._send(request, route):
            self._hold(request)

    def _send(self, request: Request, route: Route) -> bool:
        """Try the endpoints of one version by weight, the one with the fewest requests first."""
        chosen = self._choose(route)
        endpoints = self.chance.sample(chosen.endpoints, len(chosen.endpoints))
        endpoints.sort(key=lambda endpoint: self.in_flight[request.address, endpoint])
        for endpoint in endpoints:
            # Counted before it is offered: a server may be done with it at once.
            self._sent[request] = endpoint
            self.in_flight[request.address, endpoint] += 1
            if self.offer(endpoint, request, chosen.version):
                return True
            self.in_flight[request.address, endpoint] -= 1
            del self._sent[request]
        return False

    def _choose(self, route: Route) -> WeightedVersion:
        if len(route.versions) == 1:
            return route.versions[0]
        return self.chance.choices(route.versions, [version.weight for version in route.versions])[0]

    def _hold(self, request: Request) -> None:
        queue = self.held.setdefault(request.address, deque())
        if len(queue) >= self.settings.hold_requests:
            self.ledger.end(request, Outcome.HOLD_FULL, self.timeline.now)
            return
        queue.append(request)
        self.timeline.at(request.arrived_at + self.settings.hold_s, partial(self._give_up, request))
        if len(queue) == 1:
            self.woken()
            self._look_again(request.address)

    def _give_up(self, request: Request) -> None:
        queue = self.held.get(request.address)
        if queue is not None and request in queue:
            queue.remove(request)
            self.ledger.end(request, Outcome.HELD_TOO_LONG, self.timeline.now)

    def _look_again(self, address: ModelAddress) -> None:
        def look() -> None:
            self._let_go(address)
            if self.held.get(address):
                self._look_again(address)

        self.timeline.after(LETTING_GO_S, look)

    def _let_go(self, address: ModelAddress) -> None:
        """Route held requests again, oldest first, while there is room in the ready replicas."""
        queue = self.held.get(address, deque())
        route = self._applied.get(address)
        while queue and self._may_go(address, route):
            request = queue.popleft()
            if route is not None and route.state is RouteState.ROUTED:
                if not self._send(request, route):
                    queue.appendleft(request)
                    return
            else:
                self._route(request)
        if not queue:
            self.held.pop(address, None)

    def _may_go(self, address: ModelAddress, route: Route | None) -> bool:
        if route is None or route.state is RouteState.STOPPED:
            return True
        endpoints = [endpoint for version in route.versions for endpoint in version.endpoints]
        return sum(max(0, self.settings.room - self.in_flight[address, endpoint]) for endpoint in endpoints) > 0
