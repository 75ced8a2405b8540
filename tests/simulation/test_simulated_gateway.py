from collections import Counter

from forebay_operator.domain.routes import Endpoint, Route, RouteState, WeightedVersion
from forebay_operator.worlds.simulated.gateway import SimulatedGateway
from forebay_operator.worlds.simulated.requests import Outcome, Request
from simulation_builders import DIGITS, ENDPOINT, a_gateway, a_route

OTHER = Endpoint("127.0.0.1", 3, 4)


class Servers:
    """Endpoints that take requests and keep them, except those that are `closed`."""

    def __init__(self, *closed: Endpoint) -> None:
        self.closed = set(closed)
        self.taken: list[tuple[Endpoint, int, Request]] = []

    def offer(self, endpoint: Endpoint, request: Request, version: int) -> bool:
        if endpoint in self.closed:
            return False
        self.taken.append((endpoint, version, request))
        return True


def outcomes(gateway: SimulatedGateway) -> Counter[Outcome]:
    return gateway.ledger.by_outcome()


def test_a_table_is_routed_by_first_and_acknowledged_later() -> None:
    gateway = a_gateway(Servers().offer, apply_s=1.0, acknowledge_s=2.0)
    routes = (a_route(ENDPOINT),)
    gateway.write(routes)
    gateway.timeline.advance(1.0)
    gateway.arrive(DIGITS)
    assert (dict(gateway.in_flight), gateway.acknowledged) == ({(DIGITS, ENDPOINT): 1}, ())
    gateway.timeline.advance(2.0)
    assert gateway.acknowledged == routes


def test_an_unknown_model_and_a_stopped_one_are_refused_at_once() -> None:
    gateway = a_gateway(Servers().offer)
    gateway.arrive(DIGITS)
    gateway.write((a_route(state=RouteState.STOPPED),))
    gateway.timeline.advance(1.0)
    gateway.arrive(DIGITS)
    assert outcomes(gateway) == {Outcome.UNKNOWN: 1, Outcome.STOPPED: 1}


def test_requests_are_held_until_a_replica_is_routed() -> None:
    servers = Servers()
    gateway = a_gateway(servers.offer)
    gateway.write((a_route(state=RouteState.HELD),))
    gateway.timeline.advance(1.0)
    gateway.arrive(DIGITS)
    assert gateway.demand()[DIGITS].held == 1
    gateway.write((a_route(ENDPOINT),))
    gateway.timeline.advance(2.0)
    assert [(endpoint, version) for endpoint, version, _ in servers.taken] == [(ENDPOINT, 1)]
    assert (gateway.demand()[DIGITS].held, gateway.demand()[DIGITS].in_flight) == (0, 1)


def test_a_request_is_held_for_so_long_only() -> None:
    gateway = a_gateway(Servers().offer, hold_s=5.0)
    gateway.write((a_route(state=RouteState.HELD),))
    gateway.timeline.advance(1.0)
    gateway.arrive(DIGITS)
    gateway.timeline.advance(5.9)
    assert not outcomes(gateway)
    gateway.timeline.advance(6.0)
    assert outcomes(gateway) == {Outcome.HELD_TOO_LONG: 1}


def test_so_many_requests_are_held_only() -> None:
    gateway = a_gateway(Servers().offer, hold_requests=2)
    gateway.write((a_route(state=RouteState.HELD),))
    gateway.timeline.advance(1.0)
    for _ in range(3):
        gateway.arrive(DIGITS)
    assert outcomes(gateway) == {Outcome.HOLD_FULL: 1}


def test_a_retry_answer_sends_a_request_to_another_replica() -> None:
    servers = Servers(ENDPOINT)
    gateway = a_gateway(servers.offer)
    gateway.write((a_route(ENDPOINT, OTHER),))
    gateway.timeline.advance(1.0)
    for _ in range(8):
        gateway.arrive(DIGITS)
    assert {endpoint for endpoint, _, _ in servers.taken} == {OTHER}


def test_where_no_replica_takes_a_request_it_is_held_and_tried_again() -> None:
    servers = Servers(ENDPOINT)
    gateway = a_gateway(servers.offer)
    gateway.write((a_route(ENDPOINT),))
    gateway.timeline.advance(1.0)
    gateway.arrive(DIGITS)
    assert gateway.demand()[DIGITS].held == 1
    servers.closed.clear()
    gateway.timeline.advance(2.0)
    assert len(servers.taken) == 1


def test_requests_go_to_the_replica_with_the_fewest() -> None:
    servers = Servers()
    gateway = a_gateway(servers.offer)
    gateway.write((a_route(ENDPOINT, OTHER),))
    gateway.timeline.advance(1.0)
    for _ in range(10):
        gateway.arrive(DIGITS)
    assert Counter(endpoint for endpoint, _, _ in servers.taken) == {ENDPOINT: 5, OTHER: 5}


def test_weights_share_requests_between_versions() -> None:
    servers = Servers()
    gateway = a_gateway(servers.offer)
    versions = (WeightedVersion(1, 75, (ENDPOINT,)), WeightedVersion(2, 25, (OTHER,)))
    gateway.write((Route(address=DIGITS, state=RouteState.ROUTED, versions=versions),))
    gateway.timeline.advance(1.0)
    for _ in range(1000):
        gateway.arrive(DIGITS)
    share = Counter(version for _, version, _ in servers.taken)[2] / 1000
    assert 0.2 < share < 0.3


def test_the_hold_lets_go_only_as_much_as_there_is_room_for() -> None:
    servers = Servers()
    gateway = a_gateway(servers.offer, room=3)
    gateway.write((a_route(state=RouteState.HELD),))
    gateway.timeline.advance(1.0)
    for _ in range(10):
        gateway.arrive(DIGITS)
    gateway.write((a_route(ENDPOINT),))
    gateway.timeline.advance(2.0)
    assert len(servers.taken) == 3
    gateway.ended(servers.taken[0][2], Outcome.ANSWERED)
    gateway.timeline.advance(3.0)
    assert len(servers.taken) == 4


def test_held_requests_for_a_model_that_is_deleted_or_stopped_are_refused() -> None:
    gateway = a_gateway(Servers().offer)
    for after, outcome in (((a_route(state=RouteState.STOPPED),), Outcome.STOPPED), ((), Outcome.UNKNOWN)):
        gateway.write((a_route(state=RouteState.HELD),))
        gateway.timeline.advance(gateway.timeline.now + 1.0)
        gateway.arrive(DIGITS)
        gateway.write(after)
        gateway.timeline.advance(gateway.timeline.now + 1.0)
        assert outcomes(gateway)[outcome] == 1


def test_a_restarted_controller_counts_arrivals_anew() -> None:
    gateway = a_gateway(Servers().offer)
    gateway.arrive(DIGITS)
    gateway.listen_anew()
    assert gateway.demand()[DIGITS].arrivals == 0
    gateway.arrive(DIGITS)
    assert gateway.demand()[DIGITS].arrivals == 1
