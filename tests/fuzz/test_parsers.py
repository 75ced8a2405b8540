"""The short form of `make fuzz`: the same inputs each time."""

import pytest

from fuzz_targets import TARGETS, Target
from fuzzing import CORPUS, fuzzers

ROUNDS = 60


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_parser_understands_or_refuses_whatever_it_is_given(target: Target) -> None:
    (fuzzer,) = fuzzers([target], seed=1)
    faults = [fault for data in list(fuzzer.seeds) if (fault := fuzzer.try_out(data))]
    faults += [fault for _ in range(ROUNDS) if (fault := fuzzer.round())]
    assert faults == []


def test_the_kept_inputs_stay_few() -> None:
    assert CORPUS.stat().st_size < 50_000
