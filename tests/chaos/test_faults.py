"""One kill of each kind, and what the clients saw. The long form: `make chaos`."""

import time
from itertools import islice
from pathlib import Path

import pytest

import chaos_report
import chaos_rounds
from chaos_plan import KILLS, rounds

pytestmark = pytest.mark.timeout(900)


async def test_whatever_is_killed_only_what_was_in_it_is_lost(tmp_path: Path) -> None:
    plan = islice(rounds(8, KILLS), len(KILLS))
    load = {"clients": 1, "think_s": 0.05, "seed": 8}
    began, told = time.monotonic(), list[str]()

    outcome = await chaos_rounds.run(tmp_path, plan, load, told.append)

    report = chaos_report.of(outcome, time.monotonic() - began, 8)
    assert report.complaints == [], "\n".join([*told, report.markdown()])
    assert {result.round.fault.name for result in outcome.results} == set(KILLS)
