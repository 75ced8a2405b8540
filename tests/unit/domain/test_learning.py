"""What the autoscaler learns of a model: how long replicas take to get ready, and what one of them can do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_builders import NOW
from forebay_operator.domain import ready_times
from forebay_operator.domain.load_window import LoadSample, LoadWindow
from forebay_operator.domain.ready_times import ReadyTimes
from forebay_operator.domain.throughput import Throughput, measure


def learned(*looks: tuple[float, int, int]) -> float | None:
    """After looks of (seconds, ready, starting)."""
    times = ReadyTimes()
    for seconds, ready, starting in looks:
        times = ready_times.learn(times, NOW + seconds, ready, starting)
    return times.learned


def test_a_ready_time_runs_from_being_wanted_to_being_ready() -> None:
    assert learned((0, 0, 0), (1, 0, 1), (5, 0, 1), (8, 1, 0)) == 7


def test_replicas_that_were_on_their_way_before_teach_nothing() -> None:
    assert learned((0, 0, 1), (5, 1, 0)) is None


def test_replicas_come_in_turn() -> None:
    assert learned((0, 0, 0), (1, 0, 1), (3, 0, 2), (5, 1, 1)) == 4


def test_slow_replicas_are_believed_at_once_and_fast_ones_by_and_by() -> None:
    slow = ((0, 0, 0), (0, 0, 1), (20, 1, 0))
    assert learned(*slow) == 20
    assert learned(*slow, (30, 1, 1), (40, 2, 0)) == pytest.approx(17)
    assert learned(*slow, (30, 1, 1), (80, 2, 0)) == 50


@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_a_ready_time_is_never_negative_and_as_many_are_awaited_as_start(looks: list[tuple[float, int, int]]) -> None:
    times, now = ReadyTimes(), NOW
    for seconds, ready, starting in looks:
        now += seconds
        times = ready_times.learn(times, now, ready, starting)
        assert len(times.starts) == starting
        assert times.learned is None or 0 <= times.learned <= now - NOW


def a_window(waiting: float, arrivals: float, busy: float, ready: int = 1) -> LoadWindow:
    return tuple(
        LoadSample(at=NOW + n, waiting=waiting, executing=1.0, arrivals_per_s=arrivals, busy=busy, ready=ready)
        for n in range(7)
    )


def test_a_replica_that_is_half_busy_with_ten_can_do_twenty() -> None:
    found = measure(Throughput(), a_window(0, 10, 0.5), 4.0)
    assert found.per_replica == pytest.approx(20.0)
    assert found.capacity is None


def test_what_saturated_replicas_answer_is_what_they_can_do() -> None:
    found = measure(Throughput(), a_window(20, 30, 2.0, ready=2), 4.0)
    assert found.per_replica == found.capacity == pytest.approx(15.0)


def test_a_replica_that_batches_little_is_not_taken_for_one_that_can_do_little() -> None:
    known = Throughput(100.0, 100.0)
    assert measure(known, a_window(0, 10, 0.5), 4.0).per_replica == 100.0


def test_a_queue_within_its_target_only_teaches_that_a_replica_can_do_more() -> None:
    """With more waiting its batches would have been larger: a rate seen there says what it can do, not what it cannot."""
    known = Throughput(20.0, 20.0)
    assert measure(known, a_window(3, 10, 1.0), 4.0) == known
    assert (measure(known, a_window(3, 40, 1.0), 4.0).capacity or 0.0) > 20.0
    assert (measure(known, a_window(5, 10, 1.0), 4.0).capacity or 0.0) < 20.0


def test_a_window_in_which_replicas_came_teaches_nothing_where_something_is_known() -> None:
    """They were busy for a part of it only, and each was taken for one that can do less."""
    known = Throughput(20.0, 20.0)
    came = (*a_window(30, 30, 1.0)[:4], *a_window(30, 30, 3.0, ready=3)[4:])
    assert measure(known, came, 4.0) == known
    assert measure(Throughput(), came, 4.0).per_replica is not None


def test_idle_replicas_and_a_handful_of_answers_teach_nothing() -> None:
    known = Throughput(7.0, None)
    assert measure(known, a_window(0, 0, 0.0), 4.0) == known
    assert measure(known, a_window(0, 0.5, 0.5), 4.0) == known
    assert measure(known, (), 4.0) == known
