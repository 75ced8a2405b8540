"""How the programs of a control plane are found, and what is said where there are none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cluster_programs

ROOT = Path(__file__).parents[3]


@pytest.fixture
def nothing_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nobody has built or named any; returns an empty folder."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    empty = tmp_path / "empty"
    empty.mkdir()
    return empty


def _make(folder: Path, *programs: str) -> None:
    folder.mkdir(parents=True)
    for name in programs:
        (folder / name).touch(mode=0o755)


def test_a_named_folder_counts_when_the_whole_control_plane_is_in_it(
    nothing_built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster_programs.folder() is None
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(nothing_built))
    assert cluster_programs.folder() is None

    _make(tmp_path / "assets", *cluster_programs.SERVERS)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))

    assert cluster_programs.folder() == tmp_path / "assets"


@pytest.mark.usefixtures("nothing_built")
def test_what_was_built_once_is_found_again() -> None:
    _make(cluster_programs.built_folder(), *cluster_programs.PROGRAMS)

    assert cluster_programs.folder() == cluster_programs.built_folder()
    assert cluster_programs.find("helm") == str(cluster_programs.built_folder() / "helm")


def test_without_go_nothing_is_built_and_nothing_fails(nothing_built: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-B", str(cluster_programs.SOURCES)],
        env={**os.environ, "PATH": str(nothing_built), "PYTHONPATH": str(ROOT / "tests" / "support"), "CI": "true"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert (built.returncode, cluster_programs.folder()) == (0, None)
    assert cluster_programs.REMEDY in built.stdout


def test_the_last_line_of_a_run_names_what_was_left_out_and_a_run_of_ci_fails_where_go_is(nothing_built: Path) -> None:
    environment = {**os.environ, "PATH": str(nothing_built)}
    without_go = _run_a_test_of_the_chart({**environment, "CI": "true"})
    (nothing_built / "go").touch(mode=0o755)
    with_go = _run_a_test_of_the_chart({**environment, "CI": "true"})
    by_hand = _run_a_test_of_the_chart({**environment, "CI": ""})

    last = without_go.stdout.splitlines()[-1]
    assert "tests/unit/chart/test_chart_rendering.py" in last
    assert cluster_programs.REMEDY in last
    assert [without_go.returncode, with_go.returncode, by_hand.returncode] == [0, 1, 0]


def _run_a_test_of_the_chart(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    test = "tests/unit/chart/test_chart_rendering.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test, "-k", "lint or helm"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
