from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.holder.pacing import FIRST_WINDOW, LARGEST_WAVE, TRICKLE, Pace, after_bounce


def test_the_first_wave_is_a_window_per_replica() -> None:
    assert Pace(replicas=2).room == 2 * FIRST_WINDOW
    assert Pace(replicas=2).with_released(100).room == 2 * FIRST_WINDOW - 100


def test_fast_replicas_are_given_twice_as_much_each_time() -> None:
    pace, released = Pace(replicas=1), list[int]()
    for _ in range(5):
        released.append(pace.room)
        pace = pace.with_released(pace.room).with_report(in_flight=0)
    assert released == [64, 128, 256, 512, 1024]


def test_slow_replicas_are_not_given_more_than_a_window() -> None:
    # 20 of 64 are done between two reports.
    pace = Pace(replicas=1).with_released(64).with_report(in_flight=44)
    assert (pace.window, pace.room) == (64, 20)


def test_a_window_that_was_not_used_up_does_not_grow() -> None:
    assert Pace(replicas=1).with_released(10).with_report(in_flight=0).window == FIRST_WINDOW


def test_a_window_shrinks_when_more_is_in_flight_than_it_allows() -> None:
    assert Pace(replicas=1, window=512).with_report(in_flight=600).window == 256


def test_a_trickle_flows_however_busy_the_replicas_are() -> None:
    pace = Pace(replicas=2).with_report(in_flight=10_000)
    assert pace.room == 2 * TRICKLE
    assert pace.with_released(2 * TRICKLE).room == 0


def test_a_new_replica_adds_its_window_at_once() -> None:
    pace = Pace(replicas=1).with_released(64)
    assert pace.room == 0
    assert pace.with_replicas(2).room == FIRST_WINDOW


@given(st.integers(1, 8), st.lists(st.integers(0, 5000), max_size=30))
def test_something_always_flows_and_the_window_keeps_its_bounds(replicas: int, reports: list[int]) -> None:
    pace = Pace(replicas)
    for in_flight in reports:
        pace = pace.with_released(pace.room).with_report(in_flight)
        assert pace.room >= replicas * TRICKLE
        assert FIRST_WINDOW <= pace.window <= 1 << 16


def test_a_wave_is_as_large_as_what_replicas_took_of_the_last_one_and_one_more() -> None:
    pace = Pace(replicas=2, wave=10).after_wave(10)
    for _ in range(4):
        pace = pace.with_bounce()
    pace = pace.before_wave()
    assert pace.wave == 7
    assert pace.after_wave(7).before_wave().wave == 8, "nothing came back"


def test_as_long_as_everything_comes_back_one_request_is_tried_after_growing_pauses() -> None:
    pace, pauses = after_bounce(2).after_wave(1), list[float]()
    for _ in range(7):
        pace = pace.with_bounce().before_wave().after_wave(1)
        pauses.append(pace.pause_s)
        assert pace.wave == 1
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25]


@given(st.lists(st.integers(0, 40), max_size=50))
def test_something_is_always_tried_and_never_more_than_a_wave_at_once(bounces: list[int]) -> None:
    pace = after_bounce(1)
    for count in bounces:
        for _ in range(count):
            pace = pace.with_bounce()
        pace = pace.before_wave()
        assert 1 <= pace.wave <= LARGEST_WAVE + 1
        pace = pace.after_wave(pace.wave)


def test_between_reports_replicas_are_given_what_they_should_have_finished_and_no_more_than_they_had() -> None:
    pace = Pace(replicas=2).with_bound(100, rate=300.0).with_report(in_flight=90)
    assert [pace.room_after(seconds) for seconds in (0.0, 0.1, 0.2)] == [10, 40, 70]
    assert pace.with_released(10).room_after(60.0) == 100, "all that they had"
    assert pace.with_bound(100).room_after(60.0) == 10, "where it is not known what they do"


def test_a_replica_that_joins_gets_its_share_though_the_older_ones_have_more_than_theirs() -> None:
    pace = Pace(replicas=1).with_bound(16).with_report(in_flight=100).with_replicas(2).with_bound(32)
    assert pace.room == 16
    busy = pace.with_released(16)
    assert busy.room == 0
    assert busy.with_report(in_flight=108).room == 4, "the new one's half of the eight that were finished"
    assert busy.with_report(in_flight=0).room == 32
