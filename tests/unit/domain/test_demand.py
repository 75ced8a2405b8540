from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_builders import DIGITS, NOW, a_holding, a_server
from forebay_operator.domain import demand
from forebay_operator.domain.demand import LoadMemory, Signals
from forebay_operator.domain.fleet import Replica, ReplicaKey, muster
from forebay_operator.domain.observation import Observation
from forebay_operator.domain.snapshot import GatewayDemand, Holding, HoldingPhase, Server, ServerPhase


def replicas(*servers: Server) -> tuple[Replica, ...]:
    return muster(servers, {}).of(DIGITS)


def look(
    before: LoadMemory | None,
    *servers: Server,
    now: float = NOW,
    gateway: GatewayDemand | None = GatewayDemand(),  # noqa: B008 - a frozen value
    fading: frozenset[ReplicaKey] = frozenset(),
    counted_since: float | None = None,
) -> tuple[Observation, LoadMemory]:
    signals = Signals(
        now=now,
        serving=1,
        replicas=replicas(*servers),
        fading=fading,
        starting=0,
        gateway=gateway,
        counted_since=counted_since,
    )
    return demand.observe(before, signals)


def a_page(name: str, *holdings: Holding, now: float = NOW) -> Server:
    return a_server(name, *holdings, observed_at=now)


def test_gauges_of_the_replicas_that_get_requests_add_up() -> None:
    busy = a_holding(waiting=3, executing=2)
    other = a_holding(version=2, waiting=50, executing=1)
    seen, _ = look(None, a_page("s-1", busy), a_page("s-2", busy), a_page("s-3", other), gateway=GatewayDemand(held=4))
    assert (seen.replicas_ready, seen.waiting, seen.held) == (2, 6, 4)
    assert seen.executing == 5


def test_a_replica_on_its_way_out_executes_but_has_no_queue_that_counts() -> None:
    leaving = a_holding(waiting=9, executing=1)
    seen, _ = look(None, a_page("s-1", leaving), fading=frozenset({ReplicaKey("s-1", "digits", 1)}))
    assert (seen.replicas_ready, seen.waiting, seen.executing) == (0, 0, 1)


@pytest.mark.parametrize("missing", ["waiting", "executing", "busy_seconds"])
def test_a_signal_that_one_replica_does_not_give_is_unknown(missing: str) -> None:
    silent = replace(a_holding(), **{missing: None})  # type: ignore[arg-type]  # a field of the holding, by name
    _, memory = look(None, a_page("s-1", a_holding()), a_page("s-2", silent))
    later = NOW + 1
    seen, _ = look(memory, a_page("s-1", a_holding(), now=later), a_page("s-2", silent, now=later), now=later)
    known = {"waiting": seen.waiting, "executing": seen.executing, "busy_seconds": seen.busy_share}
    assert [name for name, value in known.items() if value is None] == [missing]


def test_what_loads_or_failed_need_not_say_that_it_executes_nothing() -> None:
    loading = a_holding(phase=HoldingPhase.LOADING, waiting=None, executing=None, busy_seconds=None)
    seen, _ = look(None, a_page("s-1", loading))
    assert (seen.waiting, seen.executing) == (0, 0)


def test_without_a_gateway_what_is_held_and_what_arrives_are_unknown() -> None:
    seen, _ = look(None, gateway=None)
    assert seen.held is None
    assert seen.arrivals_per_s is None


def test_old_pages_say_nothing_of_the_load() -> None:
    seen, _ = look(None, a_page("s-1", a_holding(), now=NOW - 11))
    assert seen.waiting is None
    assert seen.busy_share is None


def test_a_rate_needs_two_looks() -> None:
    first, memory = look(None, gateway=GatewayDemand(arrivals=100))
    assert first.arrivals_per_s is None
    second, _ = look(memory, gateway=GatewayDemand(arrivals=120), now=NOW + 2)
    assert second.arrivals_per_s == 10.0


def test_a_rate_is_kept_until_a_second_is_over_and_nothing_is_lost() -> None:
    _, memory = look(None, gateway=GatewayDemand(arrivals=100))
    _, memory = look(memory, gateway=GatewayDemand(arrivals=110), now=NOW + 1)
    early, memory = look(memory, gateway=GatewayDemand(arrivals=115), now=NOW + 1.2)
    assert early.arrivals_per_s == 10.0
    late, _ = look(memory, gateway=GatewayDemand(arrivals=130), now=NOW + 2)
    assert late.arrivals_per_s == 20.0


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    _, memory = look(None, gateway=GatewayDemand(arrivals=100))
    seen, _ = look(memory, gateway=GatewayDemand(arrivals=7), now=NOW + 1)
    assert seen.arrivals_per_s == 7.0


def test_a_rate_after_a_rest_is_of_the_time_since() -> None:
    _, memory = look(None, gateway=GatewayDemand(arrivals=100))
    seen, _ = look(memory, gateway=GatewayDemand(arrivals=110), now=NOW + 101, counted_since=NOW + 100)
    assert seen.arrivals_per_s == 10.0


def busy_share(first: Holding, second: Holding, seconds: float = 1.0) -> float | None:
    _, memory = look(None, a_page("s-1", first))
    seen, _ = look(memory, a_page("s-1", second, now=NOW + seconds), now=NOW + seconds)
    return seen.busy_share


def test_the_busy_share_is_what_the_counter_grew_by_for_each_instance() -> None:
    assert busy_share(a_holding(busy_seconds=10.0), a_holding(busy_seconds=10.4)) == pytest.approx(0.4)
    two = a_holding(busy_seconds=10.0, instances=2)
    assert busy_share(two, replace(two, busy_seconds=11.0)) == pytest.approx(0.5)
    assert busy_share(a_holding(busy_seconds=10.0), a_holding(busy_seconds=12.0)) == 1.0
    assert busy_share(a_holding(busy_seconds=10.0), a_holding(busy_seconds=0.3)) == pytest.approx(0.3)


def test_a_new_replica_leaves_the_busy_share_unknown_for_a_moment() -> None:
    _, memory = look(None, a_page("s-1", a_holding()))
    later = NOW + 1
    seen, memory = look(memory, a_page("s-1", a_holding(), now=later), a_page("s-2", a_holding(), now=later), now=later)
    assert seen.busy_share is None
    later = NOW + 2
    seen, _ = look(memory, a_page("s-1", a_holding(), now=later), a_page("s-2", a_holding(), now=later), now=later)
    assert seen.busy_share == 0.0


def test_without_a_replica_nothing_is_busy() -> None:
    seen, _ = look(None)
    assert (seen.waiting, seen.executing, seen.busy_share) == (0, 0, 0)


def test_a_replica_on_a_server_that_starts_gets_no_requests() -> None:
    seen, _ = look(None, a_server("s-1", a_holding(waiting=5), phase=ServerPhase.STARTING))
    assert (seen.replicas_ready, seen.waiting) == (0, 0)


@given(st.lists(st.tuples(st.floats(0.1, 3.0), st.integers(0, 50)), min_size=1, max_size=30))
def test_rates_account_for_every_arrival(looks: list[tuple[float, int]]) -> None:
    now, counter, total = NOW, 0, 0.0
    _, memory = look(None, gateway=GatewayDemand(arrivals=0))
    for seconds, arrivals in looks:
        now += seconds
        counter += arrivals
        before = memory
        seen, memory = look(before, gateway=GatewayDemand(arrivals=counter), now=now)
        if memory.at != before.at:
            total += (seen.arrivals_per_s or 0.0) * (memory.at - before.at)
    assert total == pytest.approx(memory.arrivals, rel=1e-6, abs=1e-6)
