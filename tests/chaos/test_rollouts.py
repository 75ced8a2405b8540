"""Revisions in a row, on a device that has room for one replica. The long form: `make rollouts`."""

from pathlib import Path

import pytest

import chaos_rollouts
from chaos_rollouts import Rollouts

pytestmark = pytest.mark.timeout(900)


async def test_revisions_swapped_on_one_device_cost_no_request_and_no_answer_is_of_one_nobody_asked_for(
    tmp_path: Path,
) -> None:
    load = {"clients": 1, "think_s": 0.05, "seed": 8}

    rolled = await chaos_rollouts.run(tmp_path / "site", Rollouts(revisions=2, room=1, sources=2), load, print)

    report = chaos_rollouts.report([rolled])
    assert report.complaints == [], report.markdown()
    assert len(rolled.took_s) == 2
