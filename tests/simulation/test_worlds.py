"""300 random worlds with faults. One that breaks an invariant is replayed by the command that the failure prints."""

import pytest

from forebay_operator.worlds.simulated.__main__ import run_seed
from forebay_operator.worlds.simulated.report import failure

WORLDS = 300
AT_A_TIME = 10


@pytest.mark.parametrize("first", range(0, WORLDS, AT_A_TIME))
def test_the_step_keeps_its_invariants_in_random_worlds(first: int) -> None:
    courses = [run_seed(seed) for seed in range(first, first + AT_A_TIME)]
    broken = ["\n".join(failure(course)) for course in courses if course.violations]
    assert not broken, "\n".join(broken)
