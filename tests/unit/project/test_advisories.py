"""`make advisories`, with advisories of our own making."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def ask(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "requirements" / "advisories.py"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/nonexistent"})
    return ended.returncode, ended.stdout + ended.stderr


def test_without_advisories_the_check_says_that_it_was_skipped() -> None:
    status, said = ask()
    assert (status, "skipped" in said) == (0, True)


def test_the_gate_asks_for_advisories_and_goes_on_where_there_are_none() -> None:
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (steps,) = re.findall(r"^for gate in (.+); do$", gate, re.MULTILINE)
    assert "advisories" in steps.split()


@pytest.mark.parametrize(
    ("affected", "found"),
    [
        ({"versions": ["1.5"]}, True),
        ({"versions": ["1.4"]}, False),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.6"}]}]}, True),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.5"}]}]}, False),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"last_affected": "1.5"}]}]}, True),
        ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.10"}]}]}, False),
    ],
)
def test_a_pin_with_an_advisory_is_named(tmp_path: Path, affected: dict[str, Any], found: bool) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text("some-package==1.5 \\\n    --hash=sha256:00\n")
    package = {"ecosystem": "PyPI", "name": "Some.Package"}
    advisory = {"id": "X-1", "summary": "it leaks", "affected": [{"package": package, **affected}]}
    folder = tmp_path / "advisories"
    folder.mkdir()
    (folder / "x.json").write_text(json.dumps(advisory))
    status, said = ask("--database", str(folder), str(pins))
    assert (status, "some-package 1.5: X-1: it leaks" in said) == (int(found), found)
