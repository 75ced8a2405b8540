"""Surges that wait at the gateway (`--hold-surges`), through a real Envoy, in front of servers that are busy until told."""

import asyncio
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from typing import Final

from forebay_gateway.envoy import admin
from forebay_gateway.holder.surges import LEAST
from gateway_clients import INFER, ask, connection, reset, routed
from gateway_processes import Backend, GatewayProcess, eventually

NAME: Final = "surge"
LEARNED: Final = 120
"""Requests from which a gateway knows how long one takes, and more."""
BUSY_S: Final = 3600.0
"""A server takes so long, or until it is told otherwise."""
BEYOND: Final = 2 * LEAST
"""Requests that each server has when it begins: with fewer it would not."""
HELD: Final = 100
MOST_LET_GO: Final = 30
"""Of those that wait, for whatever reason, while a test looks: servers that do less than before are given more."""


@dataclass
class Crowd:
    """Clients, each with one request on a connection of its own."""

    gateway: GatewayProcess
    stack: ExitStack
    clients: list[HTTPConnection] = field(default_factory=list[HTTPConnection])

    def ask(self, count: int) -> list[HTTPConnection]:
        """So many more, numbered in their order; each is somewhere before the next one asks."""
        return [self._ask_one() for _ in range(count)]

    def hold(self, count: int, *backends: Backend) -> list[HTTPConnection]:
        """So many more, which come to the gateway one behind the other; most of them wait there."""
        clients = list[HTTPConnection]()
        for _ in range(count):
            clients.append(self._ask_one())
            eventually("it is somewhere", partial(self._are_there, backends))
        assert held(self.gateway) > MOST_LET_GO
        return clients

    def _are_there(self, backends: tuple[Backend, ...]) -> bool:
        return held(self.gateway) + len(ids(*backends)) == len(self.clients)

    def _ask_one(self) -> HTTPConnection:
        client = self.stack.enter_context(connection(self.gateway))
        client.request("POST", INFER.format(NAME), b"{}", {"x-test-id": str(len(self.clients))})
        self.clients.append(client)
        return client


def held(gateway: GatewayProcess) -> int:
    """How many wait at the gateway, just now."""
    name = f'forebay_gateway_held{{namespace="default",model="{NAME}"}} '
    return int(gateway.page("/metrics")[1].partition(name)[2].partition("\n")[0] or 0)


def ids(*backends: Backend) -> list[int]:
    """The requests that servers have seen, by their numbers."""
    return sorted(int(seen["id"]) for backend in backends for seen in backend.seen())


def statuses(clients: list[HTTPConnection]) -> list[int]:
    return [client.getresponse().status for client in clients]


def comes_to_the_holder_first(gateway: GatewayProcess) -> bool:
    clusters = asyncio.run(admin.get(gateway.run_dir / "admin.sock", "/clusters"))
    return any(f"h/default/{NAME}::" in line and "hold-h.sock::priority::0" in line for line in clusters.splitlines())


@contextmanager
def in_a_surge(*backends: Backend) -> Generator[Crowd]:
    """A gateway, and servers that are busy with as many requests as make a surge; those that come wait in front of them."""
    with GatewayProcess.prepared() as gateway, ExitStack() as stack:
        gateway.write(routed(NAME, *(backend.endpoint for backend in backends)))
        gateway.start("--hold-surges")
        gateway.wait_until_ready()
        assert {ask(gateway, INFER.format(NAME), b"{}").status for _ in range(LEARNED)} == {200}
        for backend in backends:
            backend.reset()
            backend.mode(delay_s=BUSY_S)
        crowd = Crowd(gateway, stack)
        crowd.ask(BEYOND * len(backends))
        eventually("a surge", lambda: comes_to_the_holder_first(gateway))
        yield crowd


def gone(gateway: GatewayProcess) -> bool:
    return f'forebay_gateway_gone_total{{namespace="default",model="{NAME}"}} 10' in gateway.page("/metrics")[1]


def test_a_server_that_joins_has_its_share_of_what_waits_and_the_first_go_first(backends: tuple[Backend, Backend]) -> None:
    one, two = backends
    two.mode(delay_s=BUSY_S)
    with in_a_surge(one) as crowd:
        crowd.hold(HELD, one)
        crowd.gateway.route(routed(NAME, one.endpoint, two.endpoint))
        eventually("a share", lambda: len(ids(two)) > LEAST / 3)
        eventually("the first are there", lambda: ids(one, two) == list(range(len(crowd.clients) - held(crowd.gateway))))
        for backend in backends:
            backend.mode(delay_s=0.0)
        assert set(statuses(crowd.clients)) == {200}
        assert ids(one, two) == list(range(BEYOND + HELD)), "each was executed once"


def test_a_server_that_is_killed_takes_nothing_with_it_that_waits(backend: Backend) -> None:
    with Backend.running("killed") as killed, in_a_surge(backend, killed) as crowd:
        clients = crowd.hold(HELD, backend, killed)
        killed.process.kill()
        killed.process.wait()
        waiting = held(crowd.gateway)
        assert waiting > MOST_LET_GO
        backend.mode(delay_s=0.0)
        assert set(statuses(clients[-waiting:])) == {200}


def test_clients_that_go_away_leave_their_place_in_the_line_and_at_the_server(backend: Backend) -> None:
    with in_a_surge(backend) as crowd:
        clients = crowd.hold(HELD, backend)
        for client in clients[-10:]:
            reset(client)
        eventually("they are gone", lambda: gone(crowd.gateway))
        before = len(ids(backend))
        for client in crowd.clients[: BEYOND - 1]:
            reset(client)
        eventually("others take their place at the server", lambda: len(ids(backend)) > before)
        backend.mode(delay_s=0.0)
        assert set(statuses(crowd.clients[BEYOND - 1 : -10])) == {200}
