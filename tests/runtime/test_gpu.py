"""What only a real GPU can show: loading, answers against the CPU's, the footprint against NVML, unloading."""

from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pynvml
import pytest

from forebay_schema.repository import LoadOrder, UnloadOrder
from forebay_schema.serving import ServingConfig
from runtime_models import MIB, add_model, put_artifact, put_model, slow_model
from runtime_servers import Server, running_server, wait_for

pytestmark = pytest.mark.gpu

WIDTH = 512


def gpu_used_bytes() -> int:
    pynvml.nvmlInit()
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used)
    finally:
        pynvml.nvmlShutdown()


@pytest.fixture
def gpu_server(tmp_path: Path) -> Iterator[Server]:
    try:
        gpu_used_bytes()
    except pynvml.NVMLError as error:
        pytest.skip(f"no NVIDIA GPU here: {error}")
    if not any(found.name == "onnxruntime-gpu" for found in distributions()):
        pytest.skip("a GPU, but onnxruntime-gpu is not installed: install forebay[runtime-gpu]")
    with running_server(tmp_path / "gpu", "--model-control-mode", "explicit", "--device", "gpu:0") as running:
        yield running


def order(store: Path, version: int, sequence: int, model: bytes) -> LoadOrder:
    uri, digest = put_artifact(store, model)
    return LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=version, forebay_sequence=sequence)


def test_a_model_loads_on_the_gpu_answers_as_on_the_cpu_and_gives_its_memory_back(gpu_server: Server, tmp_path: Path) -> None:
    model = slow_model(steps=8, width=WIDTH)
    before = gpu_used_bytes()
    answer = gpu_server.load("m", order(tmp_path / "store", 1, 1, model), ServingConfig(max_batch_size=4))
    assert answer.status == 200, answer.body
    grown = gpu_used_bytes() - before
    assert gpu_server.metric("forebay_model_info", model="m", provider="cuda") == 1
    footprint = gpu_server.metric("forebay_model_memory_bytes", model="m")
    assert footprint >= len(model)
    assert abs(footprint - grown) <= max(64 * MIB, 0.1 * grown)

    values = np.random.default_rng(7).standard_normal((1, WIDTH, WIDTH)).astype(np.float32)
    headers = {"Inference-Header-Content-Length": "0"}
    on_gpu = gpu_server.request("POST", "/v2/models/m/infer", values.tobytes(), headers)
    repository = tmp_path / "repository"
    put_model(repository, "m", model)
    with running_server(tmp_path / "cpu", "--model-repository", str(repository)) as cpu_server:
        wait_for(lambda: cpu_server.request("GET", "/v2/models/m/ready").status == 200, "the model is loaded")
        on_cpu = cpu_server.request("POST", "/v2/models/m/infer", values.tobytes(), headers)
    np.testing.assert_allclose(_tensor(on_gpu.body), _tensor(on_cpu.body), rtol=1e-2, atol=1e-2)

    gpu_server.unload("m", UnloadOrder(forebay_version=1, forebay_sequence=2))
    wait_for(lambda: gpu_used_bytes() - before < max(64 * MIB, grown // 2), "the memory is given back")


def test_a_load_beyond_the_gpus_memory_is_refused_and_undone(tmp_path: Path, gpu_server: Server) -> None:
    small = ("--model-control-mode", "explicit", "--device", "gpu:0", "--device-memory", "1Mi")
    assert gpu_server.request("GET", "/v2/health/live").status == 200
    with running_server(tmp_path / "small", *small) as limited:
        model = slow_model(steps=2, width=WIDTH)
        refused = limited.load("m", order(tmp_path / "store", 1, 1, model), ServingConfig(max_batch_size=1))
        assert (refused.status, "of device memory" in refused.json["error"]) == (400, True)
        assert limited.index() == {("m", "1"): "UNAVAILABLE"}


def test_small_models_share_the_gpu(gpu_server: Server, tmp_path: Path) -> None:
    for number in range(3):
        answer = gpu_server.load(f"m{number}", order(tmp_path / "store", 1, 1, add_model(number)))
        assert answer.status == 200, answer.body
    assert set(gpu_server.index().values()) == {"READY"}


def _tensor(body: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.frombuffer(body[-WIDTH * WIDTH * 4 :], np.float32)
