"""Promises of the frame: folders, pins, the wheel, the commands of make."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SETS = sorted(path for path in (ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)


def test_no_folder_named_operator_is_a_package() -> None:
    """An __init__.py there would shadow the standard library's operator module."""
    assert not list((ROOT / "operator").glob("__init__.py"))


def test_no_module_beside_one_that_is_run_is_named_like_a_standard_one() -> None:
    """`python FILE` puts the file's folder first on the path."""
    run = [path.parent for top in ("operator", "runtime") for path in (ROOT / top).rglob("__main__.py")]
    modules = {path.stem for folder in run for path in folder.glob("*.py")}

    assert run
    assert modules & sys.stdlib_module_names <= {"__main__"}


@pytest.mark.parametrize("requirements", SETS, ids=lambda path: path.stem)
def test_every_pin_has_a_hash_and_no_host(requirements: Path) -> None:
    text = requirements.read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"\n(?=[a-z])", text) if PIN.match(block)]

    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


@pytest.mark.parametrize("requirements", SETS, ids=lambda path: path.stem)
def test_an_environment_has_at_most_one_onnxruntime(requirements: Path) -> None:
    names = {name for name, _ in PIN.findall(requirements.read_text(encoding="utf-8"))}

    assert len(names & {"onnxruntime", "onnxruntime-gpu"}) <= 1


@pytest.mark.parametrize("requirements", SETS, ids=lambda path: path.stem)
def test_every_set_of_extras_takes_the_versions_that_were_tested(requirements: Path) -> None:
    tested = set(PIN.findall((ROOT / "requirements/dev.txt").read_text(encoding="utf-8")))
    names = {name for name, _ in tested}
    pinned = PIN.findall(requirements.read_text(encoding="utf-8"))

    assert [pin for pin in pinned if pin[0] in names and pin not in tested] == []


def test_the_wheel_holds_every_package_and_its_commands(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        commands = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()

    for package in ("forebay_operator", "forebay_schema", "forebay_runtime", "forebay_gateway", "forebay_convert"):
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    for command in ("forebay", "kubectl-forebay", "forebay-operator", "forebay-runtime", "forebay-gateway", "forebay-convert"):
        assert f"{command} = " in commands


def test_make_help_lists_every_command_that_the_readme_and_the_docs_name() -> None:
    listed = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        target
        for text in texts
        for line in re.findall(r"(?:^|`)make ([a-z-]+(?: [a-z-]+)*)(?=`|$|\s{2,}|\s#)", text.read_text("utf-8"), re.MULTILINE)
        for target in line.split()
    }

    assert {"demo", "test"} <= named
    assert named <= set(re.findall(r"make ([a-z-]+)", listed.stdout))
