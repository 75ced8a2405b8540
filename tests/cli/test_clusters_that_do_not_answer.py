"""What the commands say where a cluster cannot be reached. No cluster is needed for that."""

import json
import socket
from pathlib import Path

import pytest

from cli_api_server import api_server, kubeconfig_of
from cluster_commands import Done, run


def refused(done: Done, status: int) -> str:
    assert done.returncode == status, done
    assert done.stderr.startswith("forebay: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "KUBECONFIG": ""}

    assert "no kubeconfig /nowhere: check --kubeconfig" in refused(run("get", "--kubeconfig", "/nowhere"), 3)
    assert "there is no kubeconfig ~/.kube/config" in refused(run("get", "--context", "one", environment=home), 3)
    named = {**home, "KUBECONFIG": "/nowhere"}
    assert "correct KUBECONFIG" in refused(run("get", "--context", "one", environment=named), 3)


def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path) -> None:
    for content in ("{", "[]", "text", "apiVersion: v1\nkind: Config\n"):
        (tmp_path / "config").write_text(content)
        assert f"{tmp_path / 'config'}" in refused(run("get", "--kubeconfig", str(tmp_path / "config")), 3)


def test_a_context_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    kubeconfig = kubeconfig_of("https://127.0.0.1:1", tmp_path / "config")

    said = refused(run("get", "--kubeconfig", str(kubeconfig), "--context", "three"), 2)

    assert f"there is no context three in {kubeconfig}: it has one and two" in said


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "none"), (2, "m-000 and m-001"), (300, "m-018, m-019 and 280 more")],
)
def test_a_model_that_is_not_there_is_answered_with_some_of_those_that_are(count: int, shown: str, tmp_path: Path) -> None:
    models = json.dumps({"items": [{"metadata": {"name": f"m-{number:03}"}} for number in range(count)]}).encode()
    absent = json.dumps({"kind": "Status", "reason": "NotFound", "details": {"name": "digits"}}).encode()

    with api_server(lambda path: (200, models) if path.endswith("/modeldeployments") else (404, absent)) as server:
        kubeconfig = kubeconfig_of(server, tmp_path / "config")
        said = refused(run("explain", "digits", "--kubeconfig", str(kubeconfig)), 4)

    assert "there is no ModelDeployment default/digits; namespace default has " in said
    assert said.endswith(f" {shown}\n")


@pytest.mark.parametrize("current", ["", None], ids=["empty", "absent"])
def test_a_named_context_is_enough_where_none_is_the_current_one(current: str | None, tmp_path: Path) -> None:
    with api_server(lambda _path: (200, b'{"items": []}')) as server:
        kubeconfig = kubeconfig_of(server, tmp_path / "config")
        content = json.loads(kubeconfig.read_text())
        del content["current-context"]
        kubeconfig.write_text(json.dumps(content if current is None else {**content, "current-context": current}))

        unnamed = refused(run("get", "--kubeconfig", str(kubeconfig)), 2)
        named = run("get", "--kubeconfig", str(kubeconfig), "--context", "two")

    assert f"no context of {kubeconfig} is the current one: name one with --context (it has one and two)" in unnamed
    assert (named.returncode, named.stderr) == (0, ""), named


def test_a_context_and_a_state_folder_are_two_places(tmp_path: Path) -> None:
    assert "give one" in refused(run("get", "--context", "one", "--state", str(tmp_path)), 2)


def test_an_api_server_that_does_not_answer_is_named_with_the_reason(tmp_path: Path) -> None:
    with socket.socket() as closed:
        # Bound and not listening: nobody else gets the port meanwhile.
        closed.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{closed.getsockname()[1]}"
        said = refused(run("get", "--kubeconfig", str(kubeconfig_of(server, tmp_path / "config"))), 3)

    assert f"the API server of context one ({server}) does not answer (" in said
    assert "Connection refused" in said


@pytest.mark.parametrize(
    ("status", "content", "expected_status", "expected"),
    [
        (404, b"404 page not found\n", 3, "has no ModelDeployments: install Forebay there"),
        (401, b'{"kind": "Status", "message": "Unauthorized"}', 1, "does not know who asks: log in again"),
        (503, b"upstream is away", 1, "refuses: upstream is away"),
        (200, b"<html>a portal</html>", 1, "no JSON"),
    ],
)
def test_what_an_api_server_answers_is_told_in_words(
    tmp_path: Path, status: int, content: bytes, expected_status: int, expected: str
) -> None:
    with api_server(lambda _path: (status, content)) as server:
        done = run("get", "--kubeconfig", str(kubeconfig_of(server, tmp_path / "config")))

    assert expected in refused(done, expected_status)
