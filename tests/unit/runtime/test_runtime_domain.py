"""The small tables of the server's domain."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_runtime.domain import lifecycle
from forebay_runtime.domain.device_spec import DeviceSpec, DeviceSpecError, parse_device, parse_size
from forebay_runtime.domain.lifecycle import TRANSITIONS, Event, InvalidTransitionError, State
from forebay_runtime.domain.memory_ledger import DoesNotFit, MemoryLedger
from forebay_runtime.domain.orders import OrderBook, VersionKey
from forebay_runtime.domain.pace import Pace
from forebay_runtime.domain.queue_policy import QueuePolicy, admits, deadline_ns
from forebay_runtime.domain.version_policy import Every, Latest, Selection, Specific, VersionPolicy, select

ONE, TWO = VersionKey("m", 1), VersionKey("m", 2)
MIB = 1 << 20


@pytest.mark.parametrize(
    ("policy", "selection"),
    [
        pytest.param(Latest(), Selection((7,)), id="latest"),
        pytest.param(Latest(2), Selection((3, 7)), id="latest two"),
        pytest.param(Latest(9), Selection((1, 3, 7)), id="more than there are"),
        pytest.param(Every(), Selection((1, 3, 7)), id="all"),
        pytest.param(Specific((1, 7)), Selection((1, 7)), id="specific"),
        pytest.param(Specific((1, 8)), Selection((1,), missing=(8,)), id="one is missing"),
    ],
)
def test_version_policies(policy: VersionPolicy, selection: Selection) -> None:
    assert select(policy, [3, 1, 7]) == selection


@pytest.mark.parametrize(
    ("default", "override", "asked", "deadline"),
    [
        pytest.param(0, True, 5, None, id="no default: an override is ignored"),
        pytest.param(10, False, 5, 110, id="no override allowed"),
        pytest.param(10, True, 5, 105, id="lower"),
        pytest.param(10, True, 50, 110, id="an override never raises"),
        pytest.param(10, True, 0, 110, id="nothing asked for"),
    ],
)
def test_when_a_request_has_waited_too_long(default: int, override: bool, asked: int, deadline: int | None) -> None:
    policy = QueuePolicy(default_timeout_ns=default, allow_override=override)
    assert deadline_ns(policy, 100, asked) == deadline


def test_a_queue_admits_up_to_its_size() -> None:
    assert admits(QueuePolicy(max_size=2), 1)
    assert not admits(QueuePolicy(max_size=2), 2)
    assert admits(QueuePolicy(), 10**6)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_is_in_the_table_or_refused(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert lifecycle.advance(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(InvalidTransitionError, match=state.value):
            lifecycle.advance(state, event)


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_come_to_rest(state: State) -> None:
    reached, rest = {state}, {State.READY, State.UNAVAILABLE, State.UNKNOWN}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached & rest


def test_an_order_older_than_one_seen_about_the_same_version_is_late() -> None:
    book = OrderBook().with_order(ONE, 5)
    assert book.is_late(ONE, 4)
    assert not book.is_late(ONE, 5)
    assert not book.is_late(TWO, 1)
    assert book.with_order(ONE, 4) == book


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50)), max_size=40))
def test_orders_in_any_order_leave_the_newest(orders: list[tuple[int, int]]) -> None:
    book = OrderBook()
    for version, sequence in orders:
        book = book.with_order(VersionKey("m", version), sequence)
    for version in {version for version, _ in orders}:
        assert book.newest[VersionKey("m", version)] == max(seen for number, seen in orders if number == version)


def test_the_book_forgets_only_old_orders_about_versions_not_held() -> None:
    book = OrderBook({VersionKey("m", number): number for number in range(10)})
    kept = book.trimmed(frozenset({VersionKey("m", 0)}), limit=2)
    assert sorted(kept.newest.values()) == [0, 8, 9]


def test_what_does_not_fit_is_refused_with_numbers() -> None:
    ledger = MemoryLedger(10 * MIB).with_version(ONE, 6 * MIB)
    assert ledger.check(4 * MIB) is None
    assert ledger.check(5 * MIB) == DoesNotFit(
        "it takes 5.0 MiB of device memory, 4.0 MiB of 10.0 MiB are free (6.0 MiB in use by 1 loaded versions)",
        5 * MIB,
    )
    assert ledger.check(3 * MIB, limit=2 * MIB) == DoesNotFit(
        "it takes 3.0 MiB of device memory, its own limit is 2.0 MiB", 3 * MIB
    )
    assert ledger.without(ONE, 6 * MIB).check(10 * MIB) is None


def test_a_version_and_the_one_it_replaces_both_count_until_one_is_gone() -> None:
    ledger = MemoryLedger(10 * MIB).with_version(ONE, 6 * MIB).with_version(ONE, 3 * MIB)
    assert ledger.used == 9 * MIB
    assert ledger.without(ONE, 6 * MIB).used == 3 * MIB


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=40))
def test_a_ledger_that_is_asked_first_is_never_over_committed(loads: list[tuple[int, int]]) -> None:
    ledger = MemoryLedger(100)
    for version, size in loads:
        if ledger.check(size) is None:
            ledger = ledger.with_version(VersionKey("m", version), size)
        assert ledger.used <= ledger.total


@given(st.floats(0, 10), st.floats(0, 1), st.integers(1, 64), st.floats(0, 100))
def test_a_paced_batch_takes_its_time_and_no_more_than_it_needs(base: float, item: float, rows: int, took: float) -> None:
    rest = Pace(base, item).remaining(rows, took)
    assert rest >= 0
    assert took + rest == pytest.approx(max(took, base + rows * item))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        pytest.param("cpu", DeviceSpec("cpu"), id="cpu"),
        pytest.param("gpu", DeviceSpec("gpu"), id="gpu"),
        pytest.param("gpu:3", DeviceSpec("gpu", index=3), id="gpu by index"),
        pytest.param("simulated:16Gi", DeviceSpec("simulated", memory_bytes=16 << 30), id="simulated"),
        pytest.param(
            "simulated:512Mi,pace=20ms+0.5ms",
            DeviceSpec("simulated", memory_bytes=512 << 20, pace=Pace(0.02, 0.0005)),
            id="paced",
        ),
        pytest.param("simulated:1G,pace=1s", DeviceSpec("simulated", memory_bytes=10**9, pace=Pace(1.0)), id="base only"),
    ],
)
def test_devices_by_name(text: str, spec: DeviceSpec) -> None:
    assert parse_device(text) == spec


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("tpu", "is no device"),
        ("cpu:2", "is no device"),
        ("gpu:x", "is no device"),
        ("simulated", "is no device"),
        ("simulated:many", "is no size"),
        ("simulated:0Gi", "is no size"),
        ("simulated:1Gi,speed=1ms", "is no pace"),
        ("simulated:1Gi,pace=20", "is no duration"),
    ],
)
def test_a_device_that_is_none_is_refused_with_what_is_possible(text: str, part: str) -> None:
    with pytest.raises(DeviceSpecError, match=part):
        parse_device(text)


def test_sizes_as_kubernetes_writes_them() -> None:
    assert [parse_size(text) for text in ("5", "2k", "1.5Ki", "1Ti")] == [5, 2000, 1536, 1 << 40]
