"""The command: a table and a picture."""

from pathlib import Path

import pytest

from forebay_operator.cli.__main__ import main
from forebay_operator.cli.simulate.command import seconds_text

SCENARIO = """\
autoscaling: {maxReplicas: 4}
devices: 4
readyDelay: 5s
service: {base: 20ms, perItem: 5ms, maxBatchSize: 8}
duration: 2m
arrivals:
  ramp: {begin: 10, end: 300, over: 1m}
"""
_PNG = b"\x89PNG"


def test_policies_are_put_side_by_side_in_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(SCENARIO)
    second.write_text(SCENARIO.replace("readyDelay: 5s", "readyDelay: 30s"))
    picture = tmp_path / "waits.png"
    policies = ["--policy", "forebay", "--policy", "static"]
    assert main(["simulate", str(first), *policies, "--compare", str(second), "--picture", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["SCENARIO", "POLICY", "REQUESTS"]
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["first", "forebay"],
        ["first", "static"],
        ["second", "forebay"],
        ["second", "static"],
    ]
    assert picture.read_bytes().startswith(_PNG)


@pytest.mark.parametrize(
    ("policy", "said"), [("best", "there is no policy 'best'"), ("command:", "no command"), ("command:nowhere", "nowhere")]
)
def test_a_policy_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: str, said: str) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(SCENARIO)
    assert main(["simulate", str(file), "--policy", policy, "--picture", str(tmp_path / "x.png")]) in {1, 2}
    assert said in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(SCENARIO)
    assert main(["simulate", str(file), "--picture", str(tmp_path / "none" / "x.png")]) == 1
    assert "x.png cannot be written" in capsys.readouterr().err


def test_seconds_are_short_to_read() -> None:
    assert [seconds_text(value) for value in (0.0, 0.0123, 2.34, 95.4)] == ["0", "12ms", "2.3s", "95s"]
