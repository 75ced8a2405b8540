import os
import subprocess
import sys
from pathlib import Path

import pytest

from forebay_operator.worlds.local.state import StateError, StateFolder, default_folder, fresh_run_folder, locked, read_json

HOLDER = """
import sys
from pathlib import Path
from forebay_operator.worlds.local.state import StateFolder, locked
with locked(StateFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path)
    state.prepare()
    return state


def test_a_folder_that_another_holds_is_refused_with_the_owners_pid(folder: StateFolder) -> None:
    holder = [sys.executable, "-c", HOLDER, str(folder.root)]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StateError, match=f"pid {process.pid} "), locked(folder):
            pass
        process.kill()

    with locked(folder):
        assert folder.lock.read_text() == f"{os.getpid()}\n"


def test_the_run_folder_is_emptied_at_each_start(folder: StateFolder) -> None:
    (fresh_run_folder(folder) / "gateway.sock").touch()

    assert not list(fresh_run_folder(folder).iterdir())


def test_the_run_folder_moves_to_a_short_path_when_sockets_would_not_fit(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / ("long" * 20))
    folder.prepare()

    run = fresh_run_folder(folder)

    assert len(str(run)) < 70
    assert run.stat().st_mode & 0o777 == 0o700
    run.rmdir()


def test_a_run_folder_that_is_somebody_elses_link_is_refused(folder: StateFolder) -> None:
    run = fresh_run_folder(folder)
    run.rmdir()
    run.symlink_to(folder.root)

    with pytest.raises(StateError, match="belongs to somebody else"):
        fresh_run_folder(folder)
    run.unlink()


def test_a_state_folder_that_cannot_be_made_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StateError, match="name another one with --state"):
        StateFolder(tmp_path / "file" / "state").prepare()


def test_the_default_folder_follows_the_environment() -> None:
    assert default_folder({"FOREBAY_STATE": "/a"}) == Path("/a")
    assert default_folder({"XDG_STATE_HOME": "/b"}) == Path("/b/forebay")
    assert default_folder({}) == Path.home() / ".local/state/forebay"


def test_a_file_that_was_cut_off_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"half": ')

    assert read_json(tmp_path / "half.json") is None
