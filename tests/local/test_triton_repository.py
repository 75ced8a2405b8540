"""An existing Triton model repository, served as it is."""

import subprocess
from pathlib import Path

import pytest

from forebay_operator.domain.snapshot import DeviceClass
from forebay_operator.worlds.local.devices import Device
from forebay_operator.worlds.local.gateway import Gateway
from forebay_operator.worlds.local.leftovers import MARK
from forebay_operator.worlds.local.process_table import has_in_environment, pids
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_operator.worlds.local.triton_repository import TritonRepository
from local_models import save_scaling_model
from local_processes import until, whole_command
from local_up import Up, running_up, wait_until

# Whole processes start and end here: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(900)


def test_a_triton_repository_is_served_as_it_is_at_its_latest_version(tmp_path: Path) -> None:
    for version, factor in ((1, 2.0), (3, 6.0)):
        folder = tmp_path / "repository" / "scaling" / str(version)
        folder.mkdir(parents=True)
        save_scaling_model(folder / "model.onnx", factor)
    config = 'platform: "onnxruntime_onnx"\nmax_batch_size: 8\nversion_policy { all {} }\n'
    (tmp_path / "repository" / "scaling" / "config.pbtxt").write_text(config)
    arguments = ("--triton-repository", str(tmp_path / "repository"), "--devices", "simulated:1x1Gi")

    with running_up(tmp_path / "state", *arguments) as up:
        wait_until(lambda: "serves scaling (version 3)" in up.printed(), "the repository is loaded", 120)

        wait_until(lambda: up.ask_or_say("scaling") == [6.0] * 4, "an answer of the latest version", 120)
        wait_until(lambda: up.ask_grpc_or_say("scaling") == [6.0] * 4, "the same over gRPC", 120)

        check_that_the_commands_know(up, tmp_path / "repository")


def check_that_the_commands_know(up: Up, repository: Path) -> None:
    """Models that are served as they are."""
    assert f"Served as it is from {repository}, version 3." in up.command("get").stdout
    details = up.command("get", "scaling").stdout
    curl = next(line for line in details.splitlines() if "curl -s" in line)
    asked = subprocess.run(curl, shell=True, capture_output=True, text=True, timeout=240, check=True).stdout
    assert '"data":[3.0,3.0,3.0,3.0]' in asked.replace(" ", "")
    explained = up.command("explain", "scaling").stdout
    assert f"serve {repository}/scaling as it is" in explained
    assert "requests go to version 3" in explained
    top = up.command("top", "--once").stdout
    assert "model scaling ready=1" in top
    assert "server repository-" in top
    assert "model loaded" in up.command("logs", "scaling").stdout
    refused = up.command("delete", "scaling")
    assert refused.returncode == 1
    assert f"is served as it is from {repository}; remove its folder" in refused.stderr


def test_names_that_no_host_can_have_neither_stop_the_others_nor_are_passed_over_in_silence(tmp_path: Path) -> None:
    for name, factor in (("scaling", 2.0), ("Scaling_ONNX", 3.0), ("_scaling", 4.0)):
        folder = tmp_path / "repository" / name / "1"
        folder.mkdir(parents=True)
        save_scaling_model(folder / "model.onnx", factor)
        (tmp_path / "repository" / name / "config.pbtxt").write_text('platform: "onnxruntime_onnx"\nmax_batch_size: 8\n')
    arguments = ("--triton-repository", str(tmp_path / "repository"), "--devices", "simulated:1x1Gi")

    with running_up(tmp_path / "state", *arguments) as up:
        wait_until(
            lambda: "serves Scaling_ONNX (version 1), scaling (version 1)" in up.printed(), "the repository is loaded", 120
        )

        wait_until(lambda: up.ask_or_say("Scaling_ONNX") == [3.0] * 4, "an answer by path", 120)
        # Routed in another table, maybe a later one: models get ready one after the other.
        wait_until(lambda: up.ask_grpc_or_say("scaling") == [2.0] * 4, "an answer by host", 120)
        assert "repository/Scaling_ONNX: is found by its HTTP path only" in up.printed()
        assert "repository/_scaling: is not routed" in up.printed()


def servers_with(variable: str, value: str, mark: str) -> list[int]:
    return [
        pid
        for pid in pids()
        if has_in_environment(pid, MARK, mark)
        and "forebay_runtime" in whole_command(pid)
        and has_in_environment(pid, variable, value)
    ]


async def test_the_server_of_a_repository_numbers_gpus_as_the_driver_does(around: Surroundings, tmp_path: Path) -> None:
    gpu = Device(0, DeviceClass(kind="gpu", name="gpu", memory_bytes=1 << 30), "cuda:0")
    (tmp_path / "repository").mkdir()
    gateway = Gateway(around, http_port=0, grpc_port=0, hold_seconds=1.0)
    repository = TritonRepository(around, tmp_path / "repository", gpu, gateway)

    repository.open()
    try:
        await until(lambda: servers_with("CUDA_DEVICE_ORDER", "PCI_BUS_ID", around.folder.mark()), "its server")
    finally:
        await repository.close()
