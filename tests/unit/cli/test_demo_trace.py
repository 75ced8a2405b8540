import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.cli.demo.plot import bars
from forebay_operator.cli.demo.story import percentile
from forebay_operator.cli.demo.trace import Corner, Trace, traffic_peak

RAMP = Trace((Corner(0, 0), Corner(10, 100), Corner(20, 100)))


@pytest.mark.parametrize(("at_s", "rate"), [(-1, 0), (0, 0), (5, 50), (10, 100), (15, 100), (20, 0), (99, 0)])
def test_the_rate_runs_in_straight_lines_between_the_corners(at_s: float, rate: float) -> None:
    assert RAMP.rate(at_s) == pytest.approx(rate)


def test_as_many_requests_are_sent_as_the_area_under_the_rate() -> None:
    assert len(list(RAMP.arrivals())) == pytest.approx(1500, abs=2)


def test_the_first_request_of_a_peak_comes_at_once() -> None:
    assert next(traffic_peak(60, 3).arrivals()) == 0.0


@given(st.floats(1, 500), st.integers(2, 8))
def test_the_peak_is_more_than_all_replicas_but_one_can_do_and_less_than_all_can(one: float, replicas: int) -> None:
    peak = traffic_peak(one, replicas).peak_per_second

    assert one * (replicas - 1) < peak < one * replicas


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 0.99))
def test_a_percentile_is_one_of_the_values_and_enough_of_them_are_no_larger(values: list[float], share: float) -> None:
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_the_percentile_of_nothing_is_unknown() -> None:
    assert percentile([], 0.5) is None


@given(st.lists(st.floats(0, 1e6), max_size=300), st.integers(1, 80))
def test_a_row_of_bars_is_as_wide_as_asked(values: list[float], width: int) -> None:
    assert len(bars(values, width)) == width


def test_bars_show_the_shape() -> None:
    assert bars([0, 1, 2, 4, 8], 5) == " ▁▂▄█"
