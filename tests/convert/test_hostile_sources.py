"""Each attack goes through the real pipeline; what it reached is judged from outside."""

import os
import socket
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

import convert_hostile as attacks
from convert_commands import an_order
from convert_hostile import hostile_file
from convert_inside import Told, converted
from forebay_schema.conversion import ConversionFailure, ConversionResult

SECRET = "hunter2-is-the-secret"


@dataclass(frozen=True)
class Surroundings:
    """What a hostile source would like to reach."""

    home: Path
    victim: Path
    credential: Path
    stream: socket.socket
    datagrams: socket.socket

    def check_untouched(self) -> None:
        assert self.victim.read_text() == "precious"
        assert self.victim.stat().st_mode & 0o777 == 0o640
        assert self.victim.stat().st_nlink == 1
        assert sorted(path.name for path in self.home.iterdir()) == ["credentials", "victim"]
        for listener in (self.stream, self.datagrams):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.recv(1) if listener is self.datagrams else listener.accept()


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Surroundings]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "victim").write_text("precious")
    (home / "victim").chmod(0o640)
    (home / "credentials").write_text(SECRET)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        yield Surroundings(home, home / "victim", home / "credentials", stream, datagrams)


def attack(code: str, around: Surroundings, folder: Path, *, honest: bool = False, **changes: object) -> ConversionResult:
    """Convert a pickle that runs the code, and check that nothing outside was touched and nothing was left behind."""
    ports = {"port": (around.datagrams if code == attacks.DATAGRAM else around.stream).getsockname()[1]}
    paths = {"victim": str(around.victim), "credential": str(around.credential)}
    source = hostile_file(folder, code, honest=honest, **ports, **paths)
    told, before = Told(), _children()
    result = converted(an_order(folder / "store", source, **changes), folder, told)
    around.check_untouched()
    assert _children() == before
    assert SECRET not in result.to_json() + told.text()
    assert not list((folder / "work").iterdir())
    return result


def _children() -> set[str]:
    """Processes that this one started, or that came to it from one that is gone."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def refused(result: ConversionResult) -> ConversionFailure:
    assert result.artifact is None
    assert result.failure is not None
    assert result.failure.remedy
    return result.failure


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        pytest.param(attacks.SOCKET, "tried to open a network connection", id="connects"),
        pytest.param(attacks.DATAGRAM, "tried to open a network connection", id="sends-a-datagram"),
        pytest.param(attacks.READ_CREDENTIAL, "/home/credentials while it was loaded, which is not allowed", id="reads"),
        pytest.param(attacks.READ_OWN_ENVIRONMENT, "RuntimeError: LANG=C.UTF-8", id="reads-environment"),
        pytest.param(attacks.READ_PARENTS_ENVIRONMENT, "/environ while it was loaded", id="reads-parents-environment"),
        pytest.param(attacks.WRITE_OUTSIDE, "/home/victim while it was loaded, which no model needs", id="writes"),
        pytest.param(attacks.PLANT_CODE, "evil.pth while it was loaded, which no model needs", id="plants-code"),
        pytest.param(attacks.REMOVE, "tried to change files", id="removes"),
        pytest.param(attacks.FORK, "tried to start a process", id="forks"),
        pytest.param(attacks.RUN_A_SHELL, "tried to start a process", id="runs-a-shell"),
        pytest.param(attacks.SYSTEM, "tried to start a process", id="calls-system"),
        pytest.param(attacks.KILL_PARENT, "tried to send a signal to a process", id="kills-its-parent"),
        pytest.param(
            attacks.SWALLOWED_SOCKET + "raise SystemExit", "tried to open a network connection", id="connects-and-ends"
        ),
        pytest.param("raise SystemExit", "The source ended the process that loaded it", id="ends"),
        pytest.param(attacks.CRASH, "was ended by SIGSEGV", id="crashes"),
        pytest.param(attacks.FLOOD, "printed without end", id="floods-output"),
        pytest.param(attacks.MANY_THREADS, "started more threads", id="starts-threads"),
        pytest.param(attacks.MANY_FILES, "wrote more files", id="writes-files"),
        pytest.param(attacks.HUGE_FILE, "wrote more than the conversion may write", id="writes-a-huge-file"),
        pytest.param(attacks.SPARSE_FILE, "wrote more than the conversion may write", id="writes-a-sparse-file"),
        pytest.param(attacks.ODD_TREE, "wrote more files", id="leaves-an-odd-tree"),
        pytest.param(attacks.FORGE_VERDICT, "did not keep to its task: it left no model.onnx", id="forges-a-verdict"),
        pytest.param(attacks.SYMLINK_AS_MODEL, "did not keep to its task: it left no model.onnx", id="leaves-a-link"),
    ],
)
def test_a_hostile_source_is_stopped_and_named(code: str, cause: str, surroundings: Surroundings, tmp_path: Path) -> None:
    failure = refused(attack(code, surroundings, tmp_path))

    assert cause in failure.cause
    assert failure.cause.isprintable()


@pytest.mark.parametrize("code", [attacks.EAT_MEMORY, attacks.EAT_SHARED_MEMORY], ids=["own", "shared"])
def test_a_source_that_eats_memory_is_stopped_at_its_limit(code: str, surroundings: Surroundings, tmp_path: Path) -> None:
    failure = refused(attack(code, surroundings, tmp_path, memory_bytes=256 << 20))

    # Either its watchdog saw it, or it was told by the kernel that there is no more.
    assert "more memory than the conversion may use" in failure.cause
    assert "memory limit" in failure.remedy


@pytest.mark.parametrize("code", [attacks.SPIN, attacks.SLEEP], ids=["spins", "sleeps"])
def test_a_source_that_never_ends_is_stopped_in_time(code: str, surroundings: Surroundings, tmp_path: Path) -> None:
    failure = refused(attack(code, surroundings, tmp_path, seconds=4.0))

    assert "did not come to an end" in failure.cause
    assert "time limit" in failure.remedy


def test_an_attempt_is_refused_even_if_the_source_hides_that_it_failed(surroundings: Surroundings, tmp_path: Path) -> None:
    failure = refused(attack(attacks.SWALLOWED_SOCKET, surroundings, tmp_path, honest=True))

    assert "tried to open a network connection" in failure.cause


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the attack makes system calls by x86-64's numbers")
def test_calls_that_python_does_not_see_reach_nothing_either(surroundings: Surroundings, tmp_path: Path) -> None:
    result = attack(attacks.RAW_CALLS, surroundings, tmp_path, honest=True)

    assert result.failure is None


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the attack makes system calls by x86-64's numbers")
def test_nothing_that_a_source_starts_outlives_its_conversion(surroundings: Surroundings, tmp_path: Path) -> None:
    result = attack(attacks.STAY_BEHIND, surroundings, tmp_path, honest=True)

    assert result.failure is None


@pytest.mark.parametrize(
    ("code", "honest", "cause"),
    [
        pytest.param(attacks.LIE, True, "does not agree with its source: on", id="predict-lies"),
        pytest.param(attacks.PATCH_CONVERTER, True, "does not agree with its source", id="converter-patched"),
        pytest.param(attacks.FORGED_DISAGREEMENT, False, "does not agree with its source", id="forged-files"),
        pytest.param(attacks.PICKLE_IN_THE_ARRAYS, False, "reported cannot be read as arrays", id="pickle-in-arrays"),
        pytest.param(attacks.ARRAYS_THAT_CLAIM_TERABYTES, False, "need more memory than the conversion", id="array-bomb"),
        pytest.param(attacks.EXTERNAL_DATA, False, "keeps the data of 'w' in another file", id="external-data"),
    ],
)
def test_what_a_hostile_source_leaves_is_not_believed(
    code: str, honest: bool, cause: str, surroundings: Surroundings, tmp_path: Path
) -> None:
    failure = refused(attack(code, surroundings, tmp_path, honest=honest))

    assert cause in failure.cause
