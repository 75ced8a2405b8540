from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_builders import DIGITS, NOW, a_holding, a_record, a_replica, a_server, a_spec
from forebay_operator.domain import orders, revisions
from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.fleet import Order, OrderKind, Replica, ReplicaKey, ReplicaStage
from forebay_operator.domain.orders import OrderBook
from forebay_operator.domain.routes import Acknowledged, Endpoint
from forebay_operator.domain.snapshot import HoldingPhase, Server, ServerPhase
from forebay_schema.addresses import ModelAddress

KEY = ReplicaKey("s-1", "digits", 1)
LOAD, UNLOAD = OrderKind.LOAD, OrderKind.UNLOAD
RECORD = replace(a_record(), serving=revisions.identify("default", a_spec()).serving)


def an_order(kind: OrderKind, *, at: float = NOW, blind: bool = False, until: float = 0.0) -> Order:
    return Order(key=KEY, address=DIGITS, kind=kind, sequence=7, at=at, blind=blind, until=until)


def a_book(*before: Order, now: float = NOW, last_sequence: int = 0) -> OrderBook:
    return OrderBook(now, {order.key: order for order in before}, last_sequence)


def nowhere(_: ModelAddress) -> frozenset[tuple[int, Endpoint]]:
    return frozenset()


def unloaded(replica: Replica, *before: Order, acknowledged: Acknowledged = nowhere) -> list[int]:
    book = a_book(*before)
    book.unload(replica, acknowledged)
    return [action.sequence for action in book.actions]


def test_a_load_says_all_that_the_server_needs() -> None:
    book = a_book()
    book.load(a_server(), DIGITS, RECORD)
    (action,) = book.actions
    assert isinstance(action, LoadReplica)
    assert (action.server, action.address, action.version, action.digest) == ("s-1", DIGITS, 1, "a1")
    assert action.serving == a_spec().serving
    assert action.memory_limit_bytes == a_server().pool.device.memory_bytes
    assert action.sequence == int(NOW * 1000)


def test_nothing_is_ordered_of_a_server_that_takes_no_orders() -> None:
    book = a_book()
    book.load(a_server(phase=ServerPhase.STARTING), DIGITS, RECORD)
    book.load(a_server(observed_at=None), DIGITS, RECORD)
    book.load(a_server(), DIGITS, replace(RECORD, artifact=None))
    assert not book.actions


def test_an_order_that_stands_is_given_again_as_it_was() -> None:
    book = a_book(an_order(LOAD), now=NOW + 5)
    book.load(a_server(), DIGITS, RECORD)
    assert [action.sequence for action in book.actions] == [7]
    assert book.orders == {KEY: an_order(LOAD)}


def test_an_order_that_is_taken_back_gets_a_higher_sequence_and_is_given_for_a_while() -> None:
    book = a_book(an_order(UNLOAD), last_sequence=7)
    book.load(a_server(), DIGITS, RECORD)
    assert book.orders[KEY].sequence > 7
    assert book.orders[KEY].until > NOW
    assert unloaded(a_replica(stage=ReplicaStage.LOADING), an_order(LOAD)) == [int(NOW * 1000)]


@given(st.lists(st.tuples(st.sampled_from(["s-1", "s-2"]), st.booleans()), max_size=20), st.integers(0, 2_000_000))
def test_sequences_never_fall(given: list[tuple[str, bool]], last: int) -> None:
    book = a_book(last_sequence=last)
    for server, is_load in given:
        if is_load:
            book.load(a_server(server), DIGITS, RECORD)
        else:
            book.unload(a_replica(server, version=2), nowhere)
    sequences = [action.sequence for action in book.actions]
    assert sequences == sorted(set(sequences))
    assert all(sequence > last for sequence in sequences)


def test_a_ready_replica_is_unloaded_only_when_no_request_can_be_sent_there() -> None:
    ready = a_replica()
    endpoint = ready.server.endpoint
    assert endpoint is not None
    assert unloaded(ready)
    assert not unloaded(ready, acknowledged=lambda _: frozenset({(1, endpoint)}))
    assert unloaded(ready, acknowledged=lambda _: frozenset({(2, endpoint)}))
    assert not unloaded(ready, acknowledged=lambda _: None)


def test_what_is_not_ready_goes_even_when_it_is_not_known_where_requests_go() -> None:
    assert unloaded(a_replica(stage=ReplicaStage.FAILED), acknowledged=lambda _: None)
    assert unloaded(a_replica(stage=ReplicaStage.LOADING), acknowledged=lambda _: None)


def test_what_unloads_already_is_left_alone_unless_its_order_may_be_lost() -> None:
    assert not unloaded(a_replica(stage=ReplicaStage.UNLOADING))
    assert unloaded(a_replica(stage=ReplicaStage.UNLOADING), an_order(UNLOAD)) == [7]


@pytest.mark.parametrize(
    ("order", "server", "stands"),
    [
        (an_order(LOAD), a_server(), True),
        (an_order(LOAD), a_server("s-1", a_holding(phase=HoldingPhase.LOADING)), False),
        (an_order(LOAD), a_server("s-1", a_holding()), False),
        (an_order(LOAD, until=NOW + 9), a_server("s-1", a_holding()), True),
        (an_order(LOAD), a_server("s-1", a_holding(phase=HoldingPhase.FAILED, failed_at=NOW - 5)), True),
        (an_order(LOAD), a_server("s-1", a_holding(phase=HoldingPhase.FAILED, failed_at=NOW + 1)), False),
        (an_order(LOAD), a_server(phase=ServerPhase.LOST), False),
        (an_order(UNLOAD), a_server("s-1", a_holding()), True),
        (an_order(UNLOAD), a_server("s-1", a_holding(phase=HoldingPhase.UNLOADING)), False),
        (an_order(UNLOAD), a_server(), False),
        (an_order(UNLOAD, blind=True), a_server(), True),
        (an_order(UNLOAD, blind=True), a_server(observed_at=NOW + 2), False),
    ],
)
def test_an_order_stands_until_the_page_shows_what_became_of_it(order: Order, server: Server, *, stands: bool) -> None:
    assert bool(orders.settle({KEY: order}, [server], NOW + 1)) == stands


def test_orders_to_servers_that_are_gone_are_forgotten() -> None:
    assert not orders.settle({KEY: an_order(LOAD)}, [], NOW)


def test_an_unload_names_the_version() -> None:
    book = a_book()
    book.unload(a_replica(version=3), nowhere)
    assert book.actions == [UnloadReplica(server="s-1", address=DIGITS, version=3, sequence=int(NOW * 1000))]


def test_an_order_that_another_one_overtook_is_given_again_with_a_sequence_that_counts() -> None:
    """A server ignores what is older than the newest order that it has seen for the model."""
    newer = replace(RECORD, number=2)
    book = a_book()
    book.load(a_server(), DIGITS, newer)
    book.unload(a_replica("s-1", 1), nowhere)
    book.mark_overtaken()
    first, unload = (action.sequence for action in book.actions)
    again = a_book(*book.orders.values(), now=NOW + 1, last_sequence=book.last_sequence)
    again.load(a_server(), DIGITS, newer)
    again.mark_overtaken()
    assert again.actions[0].sequence > unload > first
    last = a_book(*again.orders.values(), now=NOW + 2, last_sequence=again.last_sequence)
    last.load(a_server(), DIGITS, newer)
    assert last.actions == again.actions
    assert last.orders[ReplicaKey("s-1", "digits", 2)].at == NOW
