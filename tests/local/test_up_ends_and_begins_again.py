"""How `forebay up` ends, what it leaves, and how the next one goes on."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from local_models import a_deployment, save_scaling_model
from local_up import FOREBAY, SIMULATED, alive, running_up, wait_until

# Whole processes start and end here: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(900)


def up_refused(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A `forebay up` that does not start."""
    return subprocess.run([*FOREBAY, "up", *arguments], capture_output=True, text=True, timeout=240, check=False)


def test_after_a_kill_nothing_runs_on_and_the_next_start_serves_again(tmp_path: Path) -> None:
    save_scaling_model(tmp_path / "double.onnx", 2.0)
    (tmp_path / "double.yaml").write_text(a_deployment("double", "double.onnx"))
    arguments = (str(tmp_path / "double.yaml"), *SIMULATED)
    with running_up(tmp_path / "state", *arguments) as up:
        up.wait_until_ready("double")
        children = up.pids()
        assert len(children) >= 3, "a server, a gateway and Envoy"
        uid = up.get("double")["metadata"]["uid"]

        up.process.kill()
        wait_until(lambda: not any(alive(pid) for pid in children), "the reaper ends everything")
        assert up.command("get").returncode == 3

    with running_up(tmp_path / "state", *arguments) as up:
        up.wait_until_ready("double")

        assert up.get("double")["metadata"]["uid"] == uid
        assert up.ask_http("double") == [2.0] * 4
        assert not list(up.folder.logs.glob("conversion-*.log.1"))


def test_ctrl_c_ends_everything_and_exits_with_success(tmp_path: Path) -> None:
    with running_up(tmp_path / "state", *SIMULATED) as up:
        children = up.pids()
        os.kill(up.process.pid, signal.SIGINT)

        assert up.process.wait(timeout=120) == 0
        assert not any(alive(pid) for pid in children)
        assert "Everything has ended." in up.printed()


def test_a_state_folder_that_is_deleted_meanwhile_is_told_with_what_to_do(tmp_path: Path) -> None:
    with running_up(tmp_path / "state", *SIMULATED) as up:
        shutil.rmtree(up.folder.store)

        wait_until(lambda: "store is gone: what is loaded serves on" in up.printed(), "it is told")
        os.kill(up.process.pid, signal.SIGINT)
        assert up.process.wait(timeout=120) == 0


def test_a_second_one_on_the_same_folder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    with running_up(tmp_path / "state", *SIMULATED) as up:
        second = up_refused("--state", str(tmp_path / "state"), "--http-port", "0", "--grpc-port", "0")

        assert second.returncode == 1
        assert f"pid {up.process.pid} " in second.stderr


def test_a_port_in_use_is_named_with_its_owner(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        refused = up_refused("--state", str(tmp_path), "--http-port", str(port), "--grpc-port", "0")

    assert refused.returncode == 1
    assert f"port {port} is in use by pid {os.getpid()} " in refused.stderr
    assert "--http-port" in refused.stderr


@pytest.mark.parametrize(
    ("http_port", "grpc_port", "expected"),
    [("65536", "0", "'65536' is no port"), ("-1", "0", "is no port"), ("18080", "18080", "are both 18080: give each its own")],
)
def test_ports_that_cannot_be_are_refused(tmp_path: Path, http_port: str, grpc_port: str, expected: str) -> None:
    refused = up_refused("--state", str(tmp_path), f"--http-port={http_port}", f"--grpc-port={grpc_port}")

    assert refused.returncode == 2
    assert expected in refused.stderr


def test_devices_that_make_no_sense_are_refused_with_what_to_write(tmp_path: Path) -> None:
    refused = up_refused("--state", str(tmp_path), "--devices", "tpu:4")

    assert refused.returncode == 2
    assert "simulated:COUNTxMEMORY" in refused.stderr


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "there is no" in up_refused(str(tmp_path / "nothing.yaml")).stderr


def test_a_folder_without_any_yaml_to_apply_is_named(tmp_path: Path) -> None:
    line = [*FOREBAY, "apply", str(tmp_path), "--state", str(tmp_path)]
    refused = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False)

    assert refused.returncode == 1
    assert f"there is no file *.yaml, *.yml, *.json in {tmp_path}: name a folder with ModelDeployments" in refused.stderr


def test_commands_without_a_running_up_say_so_and_what_to_do(tmp_path: Path) -> None:
    line = [*FOREBAY, "get", "--state", str(tmp_path)]
    refused = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False)

    assert refused.returncode == 3
    assert f"forebay up --state {tmp_path}" in refused.stderr
