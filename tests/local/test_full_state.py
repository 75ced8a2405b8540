"""A state folder on a volume that is really full: nothing is taken that is not kept, what is served is, and room is enough."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from real_volumes import MIB, volume, why_not

PROGRAM = Path(__file__).parents[1] / "support" / "local_full_state.py"
PATIENCE_S = 280

pytestmark = pytest.mark.skipif(why_not() != "", reason=why_not())


def test_with_a_full_state_folder_what_is_served_goes_on_and_nothing_is_half_taken(tmp_path: Path) -> None:
    with volume(tmp_path / "state", 64 * MIB) as state:
        command = [*state.within, sys.executable, "-B", str(PROGRAM), str(state.path), str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parent)}
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout.splitlines()[-1])
    for refused in (seen["change"], seen["new"]):
        assert "cannot be kept ([Errno 28] No space left on device): make room in the state folder" in refused
    assert (seen["taken"], seen["answer"]) == (["first"], [2.0] * 4)
    assert [said.split()[-1] for said in seen["then"]] == ["configured", "created"]
    assert "Traceback" not in seen["printed"]
    assert seen["again"] == [[2.0] * 4, [3.0] * 4]
