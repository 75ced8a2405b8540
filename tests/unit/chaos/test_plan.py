"""What is broken and changed comes from the seed alone."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from chaos_plan import ALL_FAULTS, STEADY, rounds


@given(st.integers(0, 1000))
def test_a_seed_always_means_the_same(seed: int) -> None:
    assert list(islice(rounds(seed), 30)) == list(islice(rounds(seed), 30))


@given(st.integers(0, 1000))
def test_every_fault_comes_before_any_comes_again(seed: int) -> None:
    names = [each.fault.name for each in islice(rounds(seed), 2 * len(ALL_FAULTS))]
    assert sorted(names[: len(ALL_FAULTS)]) == sorted(names[len(ALL_FAULTS) :]) == sorted(ALL_FAULTS)


@given(st.integers(0, 1000))
def test_one_model_is_never_changed_and_no_other_twice_at_once(seed: int) -> None:
    for each in islice(rounds(seed), 30):
        changed = [change.model for change in each.changes]
        assert STEADY not in changed
        assert len(changed) == len(set(changed))
