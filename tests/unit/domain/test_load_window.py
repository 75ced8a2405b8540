import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_builders import NOW
from forebay_operator.domain import load_window
from forebay_operator.domain.load_window import LoadSample, LoadWindow


def a_sample(at: float, waiting: float = 0.0, arrivals: float | None = 10.0, executing: float | None = 0.0) -> LoadSample:
    return LoadSample(at=at, waiting=waiting, executing=executing, arrivals_per_s=arrivals, busy=1.0, ready=1)


def a_window(*waiting: float, arrivals: float | None = 10.0) -> LoadWindow:
    return tuple(a_sample(NOW + number, value, arrivals) for number, value in enumerate(waiting))


def test_a_window_forgets_what_is_too_old() -> None:
    window = load_window.extend(a_window(1, 2, 3), a_sample(NOW + load_window.LONGEST_S + 1))
    assert [sample.at for sample in window] == [NOW + 1, NOW + 2, NOW + load_window.LONGEST_S + 1]


def test_samples_in_quick_succession_replace_one_another() -> None:
    window = load_window.extend(a_window(1, 2), a_sample(NOW + 1.2, 9))
    assert [sample.waiting for sample in window] == [1, 9]


def test_what_was_not_looked_at_is_as_it_was_every_second() -> None:
    window = load_window.prolong(a_window(7, 0), NOW + 4.5)
    assert [(sample.at - NOW, sample.waiting) for sample in window] == [(0, 7), (1, 0), (1.5, 0), (2.5, 0), (3.5, 0), (4.5, 0)]
    long = load_window.prolong(a_window(7, 0), NOW + 1000)
    assert len(long) == 31
    assert long[-1].at == NOW + 1000
    assert load_window.prolong((), NOW) == ()
    assert load_window.prolong(window, NOW) == window


def test_the_newest_part_has_at_least_one_sample() -> None:
    assert [sample.waiting for sample in load_window.last(a_window(1, 2, 3, 4), 2)] == [3, 4]
    assert [sample.waiting for sample in load_window.last(a_window(1, 2), 0.1)] == [2]
    assert load_window.last((), 5) == ()


def test_a_mean_is_of_what_is_known() -> None:
    assert load_window.mean([1.0, None, 3.0]) == 2.0
    assert load_window.mean([None]) is None


def test_a_straight_line_is_found_exactly() -> None:
    line = load_window.trend(a_window(1, 3, 5, 7), lambda sample: sample.waiting)
    assert line is not None
    assert line.slope == pytest.approx(2.0)
    assert line.surely_rising == pytest.approx(2.0)


def test_noise_and_falling_are_no_rise() -> None:
    noisy = load_window.trend(a_window(5, 1, 6, 2, 5, 3), lambda sample: sample.waiting)
    falling = load_window.trend(a_window(9, 7, 5, 3), lambda sample: sample.waiting)
    assert noisy is not None
    assert falling is not None
    assert noisy.surely_rising == falling.surely_rising == 0.0


def test_too_few_samples_have_no_trend() -> None:
    assert load_window.trend(a_window(1, 2, 3), lambda sample: sample.waiting) is None
    assert load_window.trend(a_window(1, 2, 3, 4, arrivals=None), lambda sample: sample.arrivals_per_s) is None


def test_what_is_answered_is_what_came_less_what_piled_up() -> None:
    assert load_window.completions_per_s(a_window(0, 0, 0)) == pytest.approx(10.0)
    assert load_window.completions_per_s(a_window(0, 4, 8)) == pytest.approx(6.0)
    assert load_window.completions_per_s(a_window(8, 4, 0)) == pytest.approx(14.0)
    assert load_window.completions_per_s(a_window(0)) is None
    assert load_window.completions_per_s(a_window(0, 0, arrivals=None)) is None


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=100))
def test_a_window_is_in_order_and_never_long(steps: list[float]) -> None:
    window: LoadWindow = ()
    now = NOW
    for step in steps:
        now += step
        window = load_window.extend(window, a_sample(now))
    times = [sample.at for sample in window]
    assert times == sorted(times)
    assert times[-1] - times[0] <= load_window.LONGEST_S
    assert len(window) <= load_window.LONGEST_S / 0.45 + 2
