"""The search for worse worlds: what it finds is found again, and stays within what may be drawn."""

import random

import pytest

from forebay_operator.worlds.simulated.__main__ import main
from forebay_operator.worlds.simulated.changing import Lineage, changed
from forebay_operator.worlds.simulated.drawing import draw_story
from forebay_operator.worlds.simulated.searching import look, search


def test_a_world_is_found_again_by_its_seed_and_its_changes() -> None:
    lineage = Lineage(3, (5, 8, 13))
    assert lineage.story() == lineage.story()
    assert lineage.story() != draw_story(3)


@pytest.mark.parametrize("seed", range(40))
def test_edits_stay_in_their_order_and_faults_within_the_busy_time(seed: int) -> None:
    before, chance = draw_story(seed), random.Random(seed)
    story = before
    for _ in range(30):
        story = changed(story, chance)
    assert [(edit.address, type(edit)) for edit in story.edits] == [(edit.address, type(edit)) for edit in before.edits]
    for address in {edit.address for edit in story.edits}:
        times = [edit.at for edit in story.edits if edit.address == address]
        assert times == sorted(times)
    assert all(0.0 <= fault.at <= 0.95 * story.busy_s for fault in story.faults)


def test_each_world_that_is_told_is_worse_than_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    found = list(search(4, first=0))
    waits = [each.longest_s for each in found]
    assert waits == sorted(waits)
    assert look(found[-1].lineage).longest_s == waits[-1]
    again = found[-1].lineage
    assert main(["--seed", str(again.seed), "--changes", ",".join(map(str, again.changes or (1,)))]) == 0
    assert "the longest wait of an answered request" in capsys.readouterr().out
