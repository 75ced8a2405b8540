from dataclasses import replace

from domain_builders import DIGITS, NOW, a_holding, a_server
from forebay_operator.domain.fleet import Order, OrderKind, ReplicaKey, ReplicaStage, is_overdue, muster, takes_orders
from forebay_operator.domain.snapshot import HoldingPhase, Server, ServerPhase

KEY = ReplicaKey("s-1", "digits", 1)


def an_order(kind: OrderKind = OrderKind.LOAD, *, blind: bool = False) -> Order:
    return Order(key=KEY, address=DIGITS, kind=kind, sequence=1, at=NOW, blind=blind)


def test_replicas_are_found_by_model_and_by_server() -> None:
    fleet = muster([a_server("s-1", a_holding()), a_server("s-2", a_holding(), a_holding("other"))], {})
    assert [replica.server.name for replica in fleet.of(DIGITS)] == ["s-1", "s-2"]
    assert [replica.address.name for replica in fleet.on("s-2")] == ["digits", "other"]
    assert fleet.on("s-3") == ()


def test_what_drains_or_is_lost_counts_as_gone() -> None:
    gone = [a_server(phase.value, a_holding(), phase=phase) for phase in (ServerPhase.DRAINING, ServerPhase.LOST)]
    assert muster(gone, {}).of(DIGITS) == ()


def test_a_server_that_is_given_up_is_named_and_not_counted() -> None:
    late = a_server("late", a_holding(), phase=ServerPhase.STARTING, started_at=NOW - 121)
    assert is_overdue(late, 120.0, NOW)
    assert not is_overdue(replace(late, phase=ServerPhase.READY), 120.0, NOW)
    fleet = muster([late], {}, is_given_up=lambda server: is_overdue(server, 120.0, NOW))
    assert fleet.given_up == (late,)
    assert fleet.of(DIGITS) == ()


def test_a_load_that_does_not_show_yet_is_a_replica() -> None:
    (replica,) = muster([a_server()], {KEY: an_order()}).of(DIGITS)
    assert replica.stage is ReplicaStage.ORDERED
    assert replica.is_coming_or_here
    assert not replica.is_ready


def test_a_load_that_is_ordered_again_after_a_failure_is_on_its_way() -> None:
    failed = a_holding(phase=HoldingPhase.FAILED, failed_at=NOW - 20)
    (replica,) = muster([a_server("s-1", failed)], {KEY: an_order()}).of(DIGITS)
    assert replica.stage is ReplicaStage.ORDERED


def test_what_was_told_to_go_is_leaving_until_the_page_shows_what_became_of_it() -> None:
    (replica,) = muster([a_server("s-1", a_holding())], {KEY: an_order(OrderKind.UNLOAD)}).of(DIGITS)
    assert replica.stage is ReplicaStage.LEAVING
    assert replica.shows_ready
    assert not replica.is_ready


def test_what_is_called_back_is_ready_when_a_newer_page_says_so() -> None:
    older, newer = a_server("s-1", a_holding()), a_server("s-1", a_holding(), observed_at=NOW + 1)
    assert muster([older], {KEY: an_order()}).of(DIGITS)[0].stage is ReplicaStage.ORDERED
    assert muster([newer], {KEY: an_order()}).of(DIGITS)[0].stage is ReplicaStage.READY


def test_a_cancelled_load_that_never_showed_still_takes_its_room() -> None:
    (replica,) = muster([a_server()], {KEY: an_order(OrderKind.UNLOAD, blind=True)}).of(DIGITS)
    assert replica.stage is ReplicaStage.UNLOADING


def test_only_a_ready_replica_on_a_ready_server_with_an_endpoint_gets_requests() -> None:
    def ready(server: Server) -> bool:
        return muster([server], {}).of(DIGITS)[0].is_ready

    assert ready(a_server("s-1", a_holding()))
    assert not ready(a_server("s-1", a_holding(), endpoint=None))
    assert not ready(a_server("s-1", a_holding(), phase=ServerPhase.STARTING))


def test_a_server_takes_orders_once_its_pages_were_read() -> None:
    assert takes_orders(a_server())
    assert not takes_orders(a_server(observed_at=None))
    assert not takes_orders(a_server(phase=ServerPhase.STARTING))


def test_what_was_found_on_an_unchanged_server_is_used_again() -> None:
    server = a_server("s-1", a_holding())
    first = muster([server], {})
    again = muster([server, a_server("s-2", a_holding())], {}, first.by_server)
    assert again.on("s-1") is first.on("s-1")
    changed = muster([replace(server, observed_at=NOW + 1)], {}, first.by_server)
    assert changed.on("s-1") is not first.on("s-1")
