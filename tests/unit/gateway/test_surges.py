"""When requests wait in front of replicas, and that replicas are kept as busy as without that."""

from dataclasses import dataclass, field
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.holder.surges import LEAST, MOST_PER_S, WORK_S, Load, Surge, Surges
from forebay_schema.addresses import ModelAddress

A = ModelAddress(namespace="default", name="a")
REPORT_S = 0.1
TICK_S = 0.01


@dataclass
class Replicas:
    """What the gateway knows elsewhere."""

    count: int = 1
    waiting: int = 0

    def replicas(self, address: ModelAddress) -> int:  # noqa: ARG002 - there is one model
        return self.count

    def held(self, address: ModelAddress) -> int:  # noqa: ARG002
        return self.waiting


def learned(latency_s: float, rate: float = 200.0) -> Surges:
    """A model of which it is known how long its requests take."""
    surges = Surges()
    for _ in range(1 + int(100 / rate)):
        surges.take({A: Load(int(rate * latency_s), int(rate))}, 1.0, Replicas())
    return surges


def test_requests_wait_in_front_once_they_wait_too_long_behind() -> None:
    surges = learned(latency_s=0.05)
    assert not surges.take({A: Load(in_flight=60, done=100)}, 0.5, Replicas())
    assert surges.window(A) is None
    assert surges.take({A: Load(in_flight=150, done=100)}, 0.5, Replicas())
    assert surges.addresses == {A}
    assert surges.window(A) == 60, "200 a second for 0.05 and 0.25 s"


def test_many_at_once_are_no_queue_where_each_takes_long() -> None:
    surges = learned(latency_s=10.0, rate=10.0)
    assert not surges.take({A: Load(in_flight=100, done=10)}, 1.0, Replicas())
    after = [surges.take({A: Load(in_flight=120, done=10)}, 1.0, Replicas()) for _ in range(40)]
    assert after.index(True) == 39, "nor is it one as long as what came lately cannot have been answered"


@pytest.mark.parametrize(
    ("load", "replicas"),
    [(Load(in_flight=2 * LEAST - 1, done=1), 1), (Load(in_flight=10**6, done=int(MOST_PER_S) + 1), 1), (Load(10**6, 9), 0)],
    ids=["few", "fast", "no replica"],
)
def test_others_are_left_alone(load: Load, replicas: int) -> None:
    assert not learned(latency_s=0.05).take({A: load}, 1.0, Replicas(replicas))


def test_a_model_of_which_nothing_is_known_is_left_alone() -> None:
    assert not Surges().take({A: Load(in_flight=1000, done=10)}, 0.1, Replicas())


def test_it_ends_when_nothing_has_waited_for_a_while() -> None:
    surges, replicas = learned(latency_s=0.05), Replicas(waiting=1)
    surges.take({A: Load(in_flight=500, done=100)}, 0.5, replicas)
    for _ in range(30):
        assert not surges.take({A: Load(in_flight=10, done=20)}, REPORT_S, replicas)
    replicas.waiting = 0
    assert [surges.take({A: Load(in_flight=10, done=20)}, REPORT_S, replicas) for _ in range(11)].index(True) >= 9
    assert surges.window(A) is None


def test_it_ends_with_the_last_replica_and_with_the_model() -> None:
    stopped, deleted = learned(latency_s=0.05), learned(latency_s=0.05)
    for surges in (stopped, deleted):
        surges.take({A: Load(in_flight=500, done=100)}, 0.5, Replicas(waiting=1))
        assert surges.addresses == {A}
    stopped.take({}, REPORT_S, Replicas(0))
    deleted.keep(set())
    assert stopped.addresses == deleted.addresses == frozenset()


def test_a_replica_that_joins_is_given_as_much_as_the_others_at_once() -> None:
    surges = learned(latency_s=0.05)
    surges.take({A: Load(in_flight=500, done=100)}, 0.5, Replicas(2, waiting=1))
    surges.take({A: Load(in_flight=60, done=20)}, REPORT_S, Replicas(3, waiting=1))
    assert surges.window(A) == 90


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 100), st.integers(1, 4), st.booleans()), max_size=60))
def test_replicas_always_have_what_is_no_queue(reports: list[tuple[int, int, int, bool]]) -> None:
    surge = Surge(latency_s=0.1, replicas=1, best=100.0, window=35.0)
    for in_flight, done, replicas, is_waiting in reports:
        surge = surge.with_load(Load(in_flight, done), REPORT_S, replicas=replicas, held=int(is_waiting))
        least = surge.replicas * LEAST
        assert surge.window >= least or isclose(surge.window, least)


@dataclass
class Server:
    """Works on batches, some at a time."""

    batch: int
    batch_s: float
    each_s: float
    lanes: int = 1
    queue: int = 0
    working: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    done: int = 0

    @property
    def in_flight(self) -> int:
        return self.queue + sum(count for _, count in self.working)

    def tick(self, now: float) -> None:
        self.done += sum(count for until, count in self.working if until <= now)
        self.working = [(until, count) for until, count in self.working if until > now]
        while self.queue and len(self.working) < self.lanes:
            count = min(self.batch, self.queue)
            self.queue -= count
            self.working.append((now + self.batch_s + self.each_s * count, count))


@pytest.mark.parametrize(
    "server",
    [
        Server(batch=8, batch_s=0.02, each_s=0.002),
        Server(batch=8, batch_s=0.04, each_s=0.004),
        Server(batch=32, batch_s=1.0, each_s=0.0),
        Server(batch=1, batch_s=10.0, each_s=0.0, lanes=64),
        Server(batch=1, batch_s=2.0, each_s=0.0),
    ],
    ids=["fast", "slower", "large slow batches", "many long ones at once", "one after the other"],
)
def test_a_server_does_as_much_as_if_all_waited_in_it(server: Server) -> None:
    surges, known = learned(server.batch_s + server.each_s, rate=2.0), Replicas(waiting=1)
    most = server.lanes * server.batch / (server.batch_s + server.each_s * server.batch)
    backlog, told, steps = int(most * (server.batch_s + 3.0)) + 4 * LEAST, 0, 12_000
    for step in range(steps):
        server.tick(step * TICK_S)
        if step % int(REPORT_S / TICK_S) == 0:
            surges.take({A: Load(server.in_flight, server.done - told)}, REPORT_S, known)
            told, window = server.done, surges.window(A)
            server.queue += max(0, (backlog if window is None else window) - server.in_flight)
    assert surges.addresses == {A}
    assert server.in_flight <= 6 * most * (server.batch_s + server.each_s + WORK_S) + 6 * LEAST, (
        "most of it is not in the server"
    )
    assert server.done >= 0.8 * most * steps * TICK_S
