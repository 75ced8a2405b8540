import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.worlds.simulated.arrivals import Arrivals, Bursts, Constant, Even, OnOff, Ramp, Recorded, Silence

SHAPES: tuple[Arrivals, ...] = (
    Silence(),
    Even(3.0),
    Constant(5.0),
    OnOff(10.0, on_s=5.0, off_s=7.0),
    Bursts(1.0, size=20, every_s=10.0),
    Ramp(0.0, 8.0, over_s=20.0),
    Recorded((3.0, 1.0, 99.0)),
)


def times_of(shape: Arrivals, seconds: float = 60.0, seed: int = 1) -> list[float]:
    return list(shape.times(seconds, random.Random(seed)))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
@given(seed=st.integers(0, 10_000), seconds=st.floats(0.1, 50.0))
def test_arrivals_rise_stay_within_the_time_and_follow_from_the_seed(shape: Arrivals, seed: int, seconds: float) -> None:
    times = times_of(shape, seconds, seed)
    assert times == sorted(times)
    assert all(0.0 <= time <= seconds for time in times)
    assert times == times_of(shape, seconds, seed)


def test_a_constant_rate_is_met_on_average() -> None:
    assert 4500 < len(times_of(Constant(5.0), 1000.0)) < 5500


def test_even_load_has_no_chance_in_it() -> None:
    assert times_of(Even(2.0), 2.0) == [0.5, 1.0, 1.5, 2.0]


def test_nobody_asks_while_load_is_off() -> None:
    assert all(time % 12.0 <= 5.0 for time in times_of(OnOff(10.0, on_s=5.0, off_s=7.0)))


def test_a_burst_comes_at_one_moment() -> None:
    times = times_of(Bursts(0.0, size=20, every_s=10.0))
    assert times
    assert all(times.count(time) == 20 for time in times)


def test_a_ramp_grows() -> None:
    times = times_of(Ramp(0.0, 20.0, over_s=60.0))
    early, late = (sum(start <= time < start + 20.0 for time in times) for start in (0.0, 40.0))
    assert early < late / 2


def test_a_recorded_trace_is_repeated_in_order() -> None:
    assert times_of(Recorded((3.0, 1.0, 99.0))) == [1.0, 3.0]
