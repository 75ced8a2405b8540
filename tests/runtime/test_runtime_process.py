"""The server as a process: its flags, pages and files, and how it starts and ends."""

import json
import re
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from forebay_runtime.protocol.triton_messages import service
from forebay_schema import metrics
from forebay_schema.repository import LoadOrder
from forebay_schema.serving import ServingConfig
from runtime_models import add_model, put_artifact, put_model, two_inputs_model, unbatched_model
from runtime_servers import Server, Wire, plain_request, running_server, wait_for

ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}
SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="[^"]*",?)*\})? [0-9.e+-]+')


def start_and_fail(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "forebay_runtime", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return ended.returncode, ended.stderr


def test_the_metrics_page_has_tritons_names_and_ours(server: Server) -> None:
    server.infer_json("add", ONES)
    page = plain_request(server.metrics, "GET", "/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = page.body.decode().splitlines()
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in lines)
    names = {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}
    assert names >= {
        metrics.PENDING,
        metrics.REQUEST_SUCCESS,
        metrics.REQUEST_FAILURE,
        metrics.INFERENCE_COUNT,
        metrics.EXECUTION_COUNT,
        metrics.BUSY_SECONDS,
        metrics.EXECUTING,
        metrics.MODEL_MEMORY,
        metrics.MODEL_INSTANCES,
        metrics.MODEL_INFO,
        metrics.DEVICE_MEMORY,
        metrics.SERVER_DRAINING,
        "nv_inference_request_duration_us",
        "nv_inference_queue_duration_us",
        "nv_inference_compute_input_duration_us",
        "nv_inference_compute_infer_duration_us",
        "nv_inference_compute_output_duration_us",
        "nv_model_load_duration_secs",
    }
    assert server.metric(metrics.REQUEST_SUCCESS, model="add", version="2") >= 1
    assert server.metric(metrics.MODEL_INFO, model="add", provider="cpu") == 1


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/other", 200), ("POST", "/metrics", 405)])
def test_the_metrics_port_answers_the_rest_as_triton_does(server: Server, method: str, path: str, status: int) -> None:
    assert plain_request(server.metrics, method, path).status == status


def test_a_measured_footprint_is_no_less_than_the_file(server: Server, model_repository: Path) -> None:
    size = (model_repository / "slow" / "1" / "model.onnx").stat().st_size
    assert server.metric(metrics.MODEL_MEMORY, model="slow") >= size


def test_a_batch_keeps_a_simulated_device_busy_for_its_pace(tmp_path: Path) -> None:
    arguments = ("--model-control-mode", "explicit", "--device", "simulated:1Gi,pace=100ms+50ms")
    with running_server(tmp_path / "run", *arguments) as paced:
        uri, digest = put_artifact(tmp_path / "store", add_model())
        order = LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=1, forebay_sequence=1)
        paced.load("m", order, ServingConfig(max_batch_size=8))
        assert paced.metric(metrics.BUSY_SECONDS, model="m") == 0
        threads = [threading.Thread(target=paced.infer_json, args=("m", ONES)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        batches = paced.metric(metrics.EXECUTION_COUNT, model="m")
        assert paced.metric(metrics.INFERENCE_COUNT, model="m") == 6
        assert batches < 6
        assert paced.metric(metrics.BUSY_SECONDS, model="m") >= batches * 0.1 + 6 * 0.05


def test_requests_that_waited_too_long_are_refused(tmp_path: Path) -> None:
    arguments = ("--model-control-mode", "explicit", "--device", "simulated:1Gi,pace=1500ms")
    with running_server(tmp_path / "run", *arguments) as paced:
        uri, digest = put_artifact(tmp_path / "store", add_model())
        order = LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=1, forebay_sequence=1)
        paced.load("m", order, ServingConfig(max_batch_size=1, queue_timeout_us=500_000))
        first = threading.Thread(target=paced.infer_json, args=("m", ONES))
        first.start()
        wait_for(lambda: paced.metric(metrics.EXECUTING, model="m") == 1, "one executes")
        late = paced.infer_json("m", ONES)
        first.join()
        assert (late.status, late.json["error"]) == (503, "Request timeout expired")
        assert paced.metric(metrics.REQUEST_FAILURE, model="m", reason="REJECTED") == 1


def test_a_model_that_cannot_be_loaded_is_named_and_the_others_serve(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    put_model(repository, "broken", b"this is no ONNX file")
    put_model(repository, "good", add_model())
    put_model(repository, "other", add_model(), config='backend: "tensorrt"')
    put_model(repository, "pbtxt", add_model(), config="max_batch_size: many")
    put_model(repository, "rigid", unbatched_model(), config="max_batch_size: 4")
    with running_server(tmp_path / "run", "--model-repository", str(repository)) as running:
        wait_for(lambda: ("rigid", "1") in running.index(), "all were tried")
        wait_for(lambda: "LOADING" not in running.index().values(), "none is loading")
        rows = {row["name"]: row for row in running.request("POST", "/v2/repository/index").json}
        assert running.infer_json("good", ONES).status == 200
        assert running.request("GET", "/v2/health/ready").status == 400
        log = running.log.read_text()
    assert (rows["broken"]["state"], "onnxruntime cannot load" in rows["broken"]["reason"]) == ("UNAVAILABLE", True)
    assert (rows["rigid"]["state"], "set max_batch_size to 0" in rows["rigid"]["reason"]) == ("UNAVAILABLE", True)
    assert "this server runs ONNX models" in log
    assert "config.pbtxt cannot be read" in log


def test_readiness_may_be_told_not_to_wait_for_models(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    put_model(repository, "broken", b"this is no ONNX file")
    with running_server(tmp_path, "--model-repository", str(repository), "--strict-readiness=false") as running:
        assert running.request("GET", "/v2/health/ready").status == 200


def test_a_server_ends_while_an_artifact_is_still_being_fetched(tmp_path: Path) -> None:
    with (
        socket.socket() as silent,
        running_server(tmp_path, "--model-control-mode", "explicit") as running,
    ):
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}/artifact"
        order = LoadOrder(forebay_artifact=uri, forebay_digest="0" * 64, forebay_version=1, forebay_sequence=1)
        loading = threading.Thread(target=broken, args=(running, order))
        loading.start()
        wait_for(lambda: running.index() == {("m", "1"): "LOADING"}, "the artifact is being fetched")
        assert running.terminate() == 0
        loading.join()


def test_a_server_ends_after_its_answers_have_been_taken(tmp_path: Path) -> None:
    size = 8 << 20
    parameters = {"binary_data_size": size}
    description = json.dumps(
        {
            "inputs": [
                {"name": name, "datatype": "INT32", "shape": [1, size // 4], "parameters": parameters} for name in ("a", "b")
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    head = (
        f"POST /v2/models/two/infer HTTP/1.1\r\nHost: h\r\nInference-Header-Content-Length: {len(description)}\r\n"
        f"Content-Length: {len(description) + 2 * size}\r\n\r\n"
    ).encode()
    repository = tmp_path / "repository"
    put_model(repository, "two", two_inputs_model())
    arguments = ("--model-repository", str(repository), "--exit-timeout-secs", "300")
    with running_server(tmp_path / "run", *arguments) as running, Wire(running.http) as slow:
        wait_for(lambda: running.request("GET", "/v2/health/ready").status == 200, "the model is loaded")
        slow.send(head + description + bytes(2 * size))
        wait_for(lambda: running.metric(metrics.REQUEST_SUCCESS, model="two") == 1, "the answer is on its way")
        running.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(4)
        answer = slow.answer()
        assert (answer.status, len(answer.body) > 2 * size) == (200, True)
        assert running.process.wait(60) == 0


def test_loads_that_hang_keep_no_health_check_from_its_thread(tmp_path: Path) -> None:
    with (
        socket.socket() as silent,
        running_server(tmp_path, "--model-control-mode", "explicit") as running,
        grpc.insecure_channel(f"127.0.0.1:{running.grpc}") as channel,
    ):
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        hanging: list[Any] = []
        for number in range(12):
            request: Any = service.RepositoryModelLoadRequest(model_name=f"m{number}")
            request.parameters["forebay_artifact"].string_param = f"http://127.0.0.1:{silent.getsockname()[1]}/artifact"
            request.parameters["forebay_digest"].string_param = "0" * 64
            request.parameters["forebay_version"].int64_param = 1
            request.parameters["forebay_sequence"].int64_param = 1
            hanging.append(stub.RepositoryModelLoad.future(request))
        wait_for(
            lambda: list(running.index().values()).count("LOADING") >= 8,
            "as many loads hang as there are threads for the rest",
        )
        assert stub.ServerLive(service.ServerLiveRequest(), timeout=30).live
        running.process.kill()


def broken(server: Server, order: LoadOrder) -> None:
    with suppress(OSError, HTTPException):
        server.load("m", order)


def test_a_port_in_use_is_named(server: Server) -> None:
    for flag in ("--http-port", "--grpc-port"):
        others = [part for other in ("--http-port", "--grpc-port", "--metrics-port") if other != flag for part in (other, "0")]
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            status, error = start_and_fail("--model-control-mode", "explicit", flag, str(port), *others)
        assert (status, str(port) in error) == (1, True), error
    assert server.request("GET", "/v2/health/live").status == 200


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        pytest.param([], 2, "--model-repository is needed", id="nothing to serve"),
        pytest.param(["--model-control-mode", "explicit", "--device", "tpu"], 2, "'tpu' is no device", id="device"),
        pytest.param(["--model-control-mode", "explicit", "--device", "simulated:1Gi,pace=fast"], 2, "no duration", id="pace"),
        pytest.param(["--model-control-mode", "explicit", "--http-port", "70000"], 2, "'70000' is no port", id="port"),
        pytest.param(["--model-repository", ".", "--load-model", "m"], 2, "needs --model-control-mode=explicit", id="load"),
    ],
)
def test_a_wrong_command_line_is_refused_with_a_sentence(arguments: list[str], status: int, part: str) -> None:
    ended, error = start_and_fail(*arguments)
    assert (ended, part in error) == (status, True), error


def test_the_log_is_one_json_object_a_line(server: Server) -> None:
    failing = {"inputs": [{"name": "index", "datatype": "INT64", "shape": [1, 1], "data": [99]}]}
    assert server.infer_json("gather", failing).status == 500
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    assert "model loaded" in {line["message"] for line in lines}


def test_no_telemetry_is_kept_or_sent_by_onnxruntime(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    repository = tmp_path / "repository"
    put_model(repository, "good", add_model())
    with running_server(tmp_path / "run", "--model-repository", str(repository), home=home) as running:
        wait_for(lambda: running.request("GET", "/v2/models/good/ready").status == 200, "the model is loaded")
        assert running.infer_json("good", ONES).status == 200
        assert running.terminate() == 0
    assert list(home.rglob("*")) == []
