"""The sandbox's table, row by row, as whoever runs the tests and as a user that owns nothing."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convert_as_nobody import NOBODY, as_nobody, why_not
from convert_attempts import BEFORE, POSSIBLE, PRETENDED, REFUSED, WOULD_DO
from convert_table import ENDS
from forebay_convert.sandbox.levels import available_level

PROGRAM = Path(__file__).parents[1] / "support" / "convert_table.py"
PATIENCE_S = 280
WHY_NOT = why_not()
as_somebody_else = pytest.param("nobody", marks=pytest.mark.skipif(WHY_NOT != "", reason=WHY_NOT))

pytestmark = pytest.mark.skipif(available_level() != "full", reason="this machine has no Landlock, or no seccomp that we know")


def found(user: str, *wanted: str) -> dict[str, Any]:
    """What the program says that tries the sandbox as this user."""
    # Not pytest's folder, into which nobody else may look.
    with tempfile.TemporaryDirectory(prefix="forebay-table-") as folder, tempfile.TemporaryDirectory() as stash:
        command = [sys.executable, "-B", str(PROGRAM), folder, *wanted]
        if user == "nobody":
            os.chown(folder, NOBODY, NOBODY)
            command = as_nobody(command, Path(stash))
        environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parent), "HOME": folder, "TMPDIR": folder}
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=False)
        assert ended.returncode == 0, ended.stderr
        told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert (told["user"] == NOBODY) == (user == "nobody")
    assert (told["level"], told["children"]) == ("full", [])
    return told


@pytest.fixture(scope="module", params=["whoever runs the tests", as_somebody_else])
def tried(request: pytest.FixtureRequest) -> dict[str, Any]:
    return found(request.param, "attempts")


@pytest.mark.parametrize("name", REFUSED)
def test_an_attempt_of_a_source_is_refused(tried: dict[str, Any], name: str) -> None:
    said = tried["attempts"].get(name, tried["ended"])
    assert said not in ("got through", "did not come back", tried["ended"])


@pytest.mark.parametrize("name", PRETENDED)
def test_an_attempt_of_a_source_is_answered_and_not_done(tried: dict[str, Any], name: str) -> None:
    assert tried["attempts"][name] == "got through"


def test_nothing_that_a_source_tries_changes_anything_of_its_surroundings(tried: dict[str, Any]) -> None:
    assert tried["touched"] == []
    assert "The source tried to write" in tried["ended"]


@pytest.mark.parametrize("name", POSSIBLE)
def test_what_the_sandbox_is_said_not_to_keep_from_a_source_is_possible_indeed(tried: dict[str, Any], name: str) -> None:
    assert tried["attempts"][name] == "got through"


@pytest.fixture(scope="module", params=[as_somebody_else])
def ends(request: pytest.FixtureRequest) -> dict[str, str]:
    """As whoever runs the tests they are tried in test_hostile_sources and its neighbours."""
    told: dict[str, str] = found(request.param, "ends")["ends"]
    return told


@pytest.mark.parametrize("name", ENDS)
def test_a_source_that_must_be_stopped_is_stopped_and_named(ends: dict[str, str], name: str) -> None:
    assert not ends[name].startswith("it was not stopped")
    assert ENDS[name].said in ends[name]


@pytest.fixture
def unsealed(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What attempts are made at, by a process that nothing stops."""
    (tmp_path / ".aws").mkdir()
    for name in ("victim", ".aws/credentials"):
        (tmp_path / name).write_text("precious")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield {"home": str(tmp_path), "victim": str(tmp_path / "victim"), "tcp": listener.getsockname()[1]}


@pytest.mark.parametrize("name", WOULD_DO)
def test_without_the_sandbox_the_attempt_gets_through(unsealed: dict[str, Any], name: str) -> None:
    code = f"T = {unsealed!r}\n{BEFORE}\n{WOULD_DO[name]}"
    subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, timeout=PATIENCE_S)
