"""A real `forebay up` on simulated GPUs, from files and commands to answers of unmodified Triton clients."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from forebay_operator.worlds.local.state import replace_text
from local_models import a_deployment, save_scaling_model
from local_up import Up, alive, wait_until

# Whole processes start and end here: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def clean(up: Up) -> Generator[Up]:
    """The shared `forebay up`; what a test applied is deleted after it, except `double`."""
    yield up
    for shown in up.connection.get("/objects")["objects"]:
        if shown["metadata"]["name"] != "double":
            up.connection.delete(f"/objects/default/{shown['metadata']['name']}")


@pytest.fixture
def double(clean: Up) -> Up:
    """With a model `double` that is ready."""
    source = clean.folder.root.parent / "double.onnx"
    apply(clean, "double", str(source if source.exists() else save_scaling_model(source, 2.0)))
    clean.wait_until_ready("double")
    return clean


def apply(up: Up, name: str, uri: str, **spec: object) -> None:
    done = up.command("apply", "-f", "-", stdin=a_deployment(name, uri, **spec))
    assert done.returncode == 0, done.stderr


def names_of(up: Up) -> set[str]:
    return {shown["metadata"]["name"] for shown in up.connection.get("/objects")["objects"]}


class Traffic:
    """Asks a model again and again, and counts what came back."""

    def __init__(self, up: Up, name: str) -> None:
        self.answers: list[float] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        asks = (lambda: up.ask_http(name), lambda: up.ask_grpc(name))
        self._threads = [threading.Thread(target=self._ask, args=(ask,)) for ask in asks]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, ask: Callable[[], list[float]]) -> None:
        while not self._stop.is_set():
            try:
                self.answers.append(ask()[0])
            except Exception as error:
                self.failures.append(repr(error))


def test_an_applied_model_answers_over_http_and_grpc(double: Up) -> None:
    assert double.ask_http("double", 1.5) == [3.0] * 4
    assert double.ask_grpc("double", 2.5) == [5.0] * 4


def test_the_lines_that_get_prints_work_as_pasted(double: Up) -> None:
    shown = double.command("get", "double").stdout
    marks = ("curl -s", "tritonclient.http", "tritonclient.grpc")
    curl, over_http, over_grpc = (next(line for line in shown.splitlines() if mark in line) for mark in marks)

    def pasted(line: str) -> str:
        return subprocess.run(line, shell=True, capture_output=True, text=True, timeout=240, check=True).stdout

    assert '"data":[1.0,1.0,1.0,1.0]' in pasted(curl).replace(" ", "")
    assert pasted(over_http) == pasted(over_grpc) == "[[1. 1. 1. 1.]]\n"


def test_a_request_to_an_idle_model_waits_until_it_is_loaded(clean: Up, tmp_path: Path) -> None:
    source = str(save_scaling_model(tmp_path / "triple.onnx", 3.0))
    apply(clean, "idle", source, autoscaling={"minReplicas": 0, "maxReplicas": 2, "idleTimeout": "2s"})
    wait_until(lambda: clean.get("idle").get("status", {}).get("artifact"), "its conversion", 120)
    wait_until(lambda: not clean.servers_of("idle"), "zero replicas", 120)

    assert clean.ask_http("idle") == [3.0] * 4
    wait_until(lambda: not clean.servers_of("idle"), "back to zero", 120)


def test_an_edit_of_a_file_makes_a_new_revision_without_a_failed_request(clean: Up, files: Path) -> None:
    save_scaling_model(files / "two.onnx", 2.0)
    save_scaling_model(files / "five.onnx", 5.0)
    replace_text(files / "edited.yaml", a_deployment("edited", "two.onnx"))
    wait_until(lambda: "default/edited: created" in clean.printed(), "the file is seen")
    clean.wait_until_ready("edited")

    with Traffic(clean, "edited") as traffic:
        wait_until(lambda: 2.0 in traffic.answers, "answers of the first revision")
        replace_text(files / "edited.yaml", a_deployment("edited", "five.onnx"))
        wait_until(lambda: 5.0 in traffic.answers[-1:], "answers of the second revision", 120)

    assert traffic.failures == []
    assert set(traffic.answers) == {2.0, 5.0}
    (files / "edited.yaml").unlink()
    wait_until(lambda: "edited.yaml is gone" in clean.printed(), "the file is missed")


def test_a_broken_edit_is_named_and_changes_nothing(clean: Up, files: Path) -> None:
    save_scaling_model(files / "kept.onnx", 2.0)
    replace_text(files / "kept.yaml", a_deployment("kept", "kept.onnx"))
    wait_until(lambda: "default/kept: created" in clean.printed(), "the file is seen")
    clean.wait_until_ready("kept")

    replace_text(files / "kept.yaml", "spec: {model: [")

    wait_until(lambda: "kept.yaml:1" in clean.printed(), "the problem, with file and line")
    assert clean.ask_http("kept") == [2.0] * 4
    (files / "kept.yaml").unlink()


def test_each_file_that_is_wrong_is_named_and_stops_no_other_and_correcting_it_is_enough(double: Up, files: Path) -> None:
    aliases = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    wrong: dict[str, tuple[bytes, str]] = {
        "broken": (b"spec: {model: [", "broken.yaml:1: broken YAML in column"),
        "refused": (a_deployment("refused", "/m.onnx", replicas=-1).encode(), "spec.replicas: -1"),
        "typo": (a_deployment("typo", "/m.onnx", replics=2).encode(), "did you mean `replicas`?"),
        "bomb": (f"a0: &a0 [x]\n{aliases}".encode(), "it has more than 50000 values: split it"),
        "latin": ("a: \xe9".encode("latin-1"), "latin.yaml: byte 3 is no UTF-8: save the file as UTF-8 text"),
        "large": (b"#" * (3 << 20), "large.yaml: it is larger than 2 MiB"),
        "older": (a_deployment("older", "/m.onnx").replace("v1alpha1", "v1").encode(), "did you mean forebay.dev/v1alpha1?"),
        "stranger": (b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "Pod is not ModelDeployment"),
        "twice": ((a_deployment("twice", "/m.onnx") + "---\n" + a_deployment("twice", "/m.onnx")).encode(), "rename one"),
    }
    for name, (content, _) in wrong.items():
        (files / f"{name}.yaml").write_bytes(content)

    wait_until(lambda: all(told in double.printed() for _, told in wrong.values()), "each is named", 120)
    wait_until(lambda: double.ask_or_say("double") == [2.0] * 4, "the other model answers", 120)

    for name in wrong:
        replace_text(files / f"{name}.yaml", a_deployment(name, "/m.onnx", stopped=True))
    wait_until(lambda: wrong.keys() <= names_of(double), "all are taken", 120)
    for name in wrong:
        (files / f"{name}.yaml").unlink()
    wait_until(lambda: not wrong.keys() & names_of(double), "all are gone", 120)


def test_an_unknown_field_is_refused_with_the_one_that_was_meant(up: Up) -> None:
    wrong = a_deployment("typo", "/model.onnx", placment={"device": "cpu"})

    done = up.command("apply", "-f", "-", stdin=wrong)

    assert done.returncode == 1
    assert "placment" in done.stderr
    assert "did you mean `placement`?" in done.stderr


def test_a_source_that_is_not_there_is_named_and_correcting_it_is_enough(double: Up, tmp_path: Path) -> None:
    apply(double, "missing", str(tmp_path / "nowhere.onnx"))
    wait_until(lambda: "nowhere.onnx" in double.summary("missing"), "the file is named", 120)

    apply(double, "missing", str(save_scaling_model(tmp_path / "there.onnx", 4.0)))

    wait_until(lambda: double.ask_or_say("missing") == [4.0] * 4, "the corrected model answers", 120)
    assert double.ask_http("double") == [2.0] * 4


def test_a_model_that_fits_no_device_says_so_with_numbers(clean: Up, tmp_path: Path) -> None:
    apply(clean, "huge", str(save_scaling_model(tmp_path / "huge.onnx", 2.0)), placement={"memory": "4Gi"})

    wait_until(lambda: "4.0 GiB" in clean.summary("huge"), "the size is named", 120)
    assert "1.0 GiB" in clean.summary("huge")


def test_two_models_share_a_device(double: Up, tmp_path: Path) -> None:
    apply(double, "second", str(save_scaling_model(tmp_path / "second.onnx", 7.0)))
    double.wait_until_ready("second")

    assert set(double.servers_of("double")) & set(double.servers_of("second"))
    assert double.ask_http("second") == [7.0] * 4
    assert double.ask_http("double") == [2.0] * 4


def test_a_killed_server_is_replaced(double: Up) -> None:
    (server,) = double.servers_of("double")

    os.kill(double.pid_of_server(server), signal.SIGKILL)

    wait_until(lambda: server not in double.servers_of("double"), "the loss is noticed")
    assert double.ask_http("double") == [2.0] * 4
    assert server not in double.servers_of("double")


def test_of_two_servers_under_load_one_may_be_killed_and_clients_go_on(clean: Up, tmp_path: Path) -> None:
    apply(clean, "pair", str(save_scaling_model(tmp_path / "pair.onnx", 2.0)), replicas=2)
    wait_until(lambda: len(clean.servers_of("pair")) == 2, "two replicas", 120)
    clean.wait_until_ready("pair")

    with Traffic(clean, "pair") as traffic:
        wait_until(lambda: len(traffic.answers) > 20, "answers")
        victim = clean.servers_of("pair")[0]
        os.kill(clean.pid_of_server(victim), signal.SIGKILL)
        wait_until(lambda: victim not in clean.servers_of("pair"), "the loss is noticed")
        wait_until(lambda: len(clean.servers_of("pair")) == 2, "another one takes its place", 120)

    # What was in execution there is lost: each of the two clients had at most one request on its way, and one that was
    # written before the end of the connection was noticed.
    assert len(traffic.failures) <= 4, traffic.failures
    assert set(traffic.answers) == {2.0}


def test_a_provider_that_the_device_cannot_be_is_refused_with_what_to_change(clean: Up, tmp_path: Path) -> None:
    source = str(save_scaling_model(tmp_path / "cuda.onnx", 2.0))
    apply(clean, "cuda", source, serving={"provider": "cuda"})

    wait_until(lambda: "provider" in clean.summary("cuda"), "the provider is named", 120)
    assert "cuda" in clean.summary("cuda")


@pytest.mark.parametrize("program", ["forebay_gateway", "bin/envoy"])
def test_a_killed_gateway_or_envoy_is_replaced(double: Up, program: str) -> None:
    (pid,) = double.pids(program)

    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not alive(pid), "its end")
    wait_until(lambda: double.ask_or_say("double") == [2.0] * 4, "answers again", 120)
    wait_until(lambda: len(double.pids(program)) == 1, "another one", 120)


def test_a_deleted_model_leaves_no_server_and_is_unknown(double: Up) -> None:
    assert double.command("delete", "double").returncode == 0

    wait_until(lambda: not double.servers_of("double"), "it is unloaded", 120)
    wait_until(lambda: "unknown model" in double.ask_or_say("double"), "the gateway forgets it", 120)
    assert double.command("get", "double").returncode == 4


def test_explain_tells_the_causal_chain(double: Up) -> None:
    told = double.command("explain", "double").stdout

    assert [line.split()[0] for line in told.splitlines() if not line.startswith(" ")] == [
        "Asked",
        "Seen",
        "Decided",
        "Missing",
        "Lately",
    ]
    assert "holds revision 1: ready" in told


def test_top_without_a_terminal_prints_plain_lines(double: Up) -> None:
    lines = double.command("top", "--once").stdout.splitlines()

    assert any("model double ready=1" in line for line in lines)
    assert any("server simulated-" in line and "double:1" in line for line in lines)


def test_logs_shows_what_servers_wrote_of_the_model(double: Up) -> None:
    told = double.command("logs", "double").stdout

    assert "model loaded" in told
    assert "published" in told
