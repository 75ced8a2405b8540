"""Whether figures grow."""

import random

from hypothesis import given
from hypothesis import strategies as st

from chaos_trend import trend

SECONDS = [5.0 * number for number in range(120)]


def test_what_grows_only_while_it_warms_up_is_flat() -> None:
    values = [min(100.0, 50.0 + second) for second in SECONDS]

    seen = trend(SECONDS, values, least=1.0)

    assert seen.flat
    assert seen.median == 100.0
    assert seen.per_hour == 0.0


@given(st.integers(0, 1000))
def test_a_slow_leak_is_seen_through_noise(seed: int) -> None:
    chance = random.Random(seed)
    values = [100.0 + second * 20.0 / 600 + chance.uniform(-3.0, 3.0) for second in SECONDS]

    seen = trend(SECONDS, values, least=1.0)

    assert not seen.flat
    # 120 by construction; of all thousand seeds the line is laid at 100.5 to 140.1.
    assert 90.0 < seen.per_hour < 150.0


@given(st.integers(0, 1000))
def test_noise_and_single_peaks_are_no_growth(seed: int) -> None:
    chance = random.Random(seed)
    values = [100.0 + chance.uniform(-3.0, 3.0) + (200.0 if chance.random() < 0.05 else 0.0) for _ in SECONDS]

    assert trend(SECONDS, values, least=1.0).flat


def test_growth_below_what_counts_is_none() -> None:
    values = [3.0 if second < 400.0 else 4.0 for second in SECONDS]

    assert trend(SECONDS, values, least=2.0).flat
