"""The long form goes on where it stopped, and takes the parsers that it is given."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def fuzz(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-B", str(ROOT / "tests" / "fuzz"), "--minutes", "0.001", "--seed", "1", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_run_goes_on_from_what_the_one_before_it_has_written(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    assert fuzz("--state", str(state), "--each", "sizes", "devices").returncode == 0
    first = json.loads(state.read_text())
    assert fuzz("--state", str(state), "sizes").returncode == 0
    second = json.loads(state.read_text())
    assert first.keys() == {"sizes", "devices"}
    assert second["sizes"]["runs"] > first["sizes"]["runs"]
    assert second["sizes"]["found"][: len(first["sizes"]["found"])] == first["sizes"]["found"]
    assert second["devices"] == first["devices"]


def test_a_parser_that_there_is_none_of_is_named() -> None:
    refused = fuzz("device")
    assert (refused.returncode, "there is no parser device: choose from http-head" in refused.stderr) == (2, True)
