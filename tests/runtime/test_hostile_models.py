"""Models that are made to hurt: other models in the server are served on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpc_client
from tritonclient.utils import InferenceServerException

from runtime_models import add_model, blowing_up_model, growing_model, put_model, repeating_model
from runtime_servers import Answer, Server, Wire, running_server, wait_for

ENDLESS = 1 << 62
PARAMETER = 'parameters {{ key: "{}" value {{ string_value: "{}" }} }}'
ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    put_model(folder, "add", add_model())
    put_model(folder, "endless", repeating_model(ENDLESS))
    put_model(folder, "repeating", repeating_model())
    put_model(folder, "bounded", repeating_model(), config=PARAMETER.format("run_timeout_secs", "1"))
    put_model(folder, "growing", growing_model())
    put_model(folder, "blowing-up", blowing_up_model())
    return folder


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = ["--model-control-mode", "explicit", "--model-repository", str(repository), "--warm-up-timeout-secs", "10"]
    arguments += ["--device-memory", "256Mi", "--request-memory", "16Mi"]
    with running_server(tmp_path_factory.mktemp("server"), *arguments) as running:
        yield running
        running.process.kill()


def load(server: Server, model: str) -> Answer:
    return server.request("POST", f"/v2/repository/models/{model}/load", "{}")


def integers(**inputs: list[int]) -> dict[str, Any]:
    entries = [{"name": name, "datatype": "INT64", "shape": [len(data)], "data": data} for name, data in inputs.items()]
    return {"inputs": entries}


def test_a_model_that_never_ends_is_refused_and_others_are_loaded(server: Server) -> None:
    refused = load(server, "endless")
    assert refused.status == 400
    assert "took more than 10 s (--warm-up-timeout-secs): lower max_batch_size" in refused.json["error"]
    assert load(server, "add").status == 200
    assert server.infer_json("add", ONES).status == 200


def test_what_no_machine_has_in_memory_fails_alone(server: Server) -> None:
    assert (load(server, "blowing-up").status, load(server, "add").status) == (200, 200)
    failed = server.infer_json("blowing-up", integers(x=[1 << 20, 1 << 20]))
    assert (failed.status, "is smaller than requested bytes" in failed.json["error"]) == (500, True)
    before = address_space_mib(server)
    assert server.infer_json("blowing-up", integers(x=[2, 3])).json["outputs"][0]["shape"] == [2, 3]
    # Not all that is left, as an arena would take that doubles what it was asked for.
    assert address_space_mib(server) < before + 500
    assert server.infer_json("add", ONES).status == 200


def test_a_model_that_is_only_slow_with_some_inputs_keeps_nobody_else_waiting(server: Server) -> None:
    assert (load(server, "repeating").status, load(server, "add").status) == (200, 200)
    assert server.infer_json("repeating", integers(x=[7], n=[3])).json["outputs"][0]["data"] == [7]
    body = json.dumps(integers(x=[7], n=[ENDLESS])).encode()
    head = f"POST /v2/models/repeating/infer HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    # The first may run in the event loop, where it is stopped; after that the model has a thread.
    for _ in range(2):
        with Wire(server.http) as wire:
            wire.send(head + body)
            wait_for(lambda: server.infer_json("add", ONES).status == 200, "others are answered")


def test_a_run_that_takes_too_long_is_stopped_and_said_to_be(server: Server) -> None:
    assert (load(server, "bounded").status, load(server, "add").status) == (200, 200)
    stopped = server.infer_json("bounded", integers(x=[7], n=[ENDLESS]))
    assert (stopped.status, stopped.json["error"].partition(" (")[0]) == (
        504,
        "the model was stopped: it ran for more than 1 s with these inputs",
    )
    assert server.infer_json("bounded", integers(x=[7], n=[3])).json["outputs"][0]["data"] == [7]
    with grpc_client.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        inputs = [grpc_client.InferInput(name, [1], "INT64") for name in ("x", "n")]
        for tensor, value in zip(inputs, (7, ENDLESS), strict=True):
            tensor.set_data_from_numpy(np.array([value]))
        with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
            client.infer("bounded", inputs)
    assert server.infer_json("add", ONES).status == 200
    assert server.metric("nv_inference_request_failure", model="bounded", reason="BACKEND") >= 2


def test_a_model_that_takes_memory_without_end_is_stopped_and_what_it_took_is_given_back(server: Server) -> None:
    assert (load(server, "growing").status, load(server, "add").status) == (200, 200)
    before = resident_mib(server)
    stopped = server.infer_json("growing", integers(n=[ENDLESS]))
    assert (stopped.status, stopped.json["error"].partition(" took ")[0]) == (500, "the model was stopped: this server")
    assert server.infer_json("growing", integers(n=[3])).json["outputs"][0]["data"] == [3]
    assert server.infer_json("add", ONES).status == 200
    wait_for(lambda: resident_mib(server) < before + 100, "what the model took is free")


def resident_mib(server: Server) -> int:
    return memory_mib(server, "VmRSS:")


def address_space_mib(server: Server) -> int:
    return memory_mib(server, "VmData:")


def memory_mib(server: Server, kind: str) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition(kind)[2].split()[0]) >> 10


def test_a_time_limit_that_is_none_is_refused(server: Server, repository: Path) -> None:
    put_model(repository, "timeless", add_model(), config=PARAMETER.format("run_timeout_secs", "soon"))
    refused = load(server, "timeless")
    assert (refused.status, "must be a number from 0 to 86400" in refused.json["error"]) == (400, True)


def escaping_model(location: str) -> bytes:
    """Its constant is said to be in a file outside of the model's folder, or of which that is a link."""
    model = onnx.load_from_string(add_model())
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="4")
    return bytes(model.SerializeToString())


def foreign_model() -> bytes:
    model = onnx.load_from_string(add_model())
    model.graph.node[0].domain = "evil.example"
    model.opset_import.add(domain="evil.example", version=1)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (escaping_model("../../../../../../../../etc/hostname"), "External data path escapes"),
        (escaping_model("within/../../../../../../../etc/hostname"), "External data path escapes"),
        (escaping_model("/etc/hostname"), "Absolute"),
        (escaping_model("link"), "External data path escapes"),
        (foreign_model(), "evil.example"),
        (add_model()[:-10], "onnxruntime cannot load model.onnx"),
    ],
    ids=[
        "data in ..",
        "data by a way back",
        "data of the machine",
        "data by a link",
        "operator of a domain that is nobody's",
        "truncated",
    ],
)
def test_a_model_that_reaches_for_what_is_not_its_own_is_refused(
    server: Server, repository: Path, content: bytes, said: str
) -> None:
    folder = put_model(repository, "reaching", content)
    if not (folder / "1" / "link").is_symlink():
        (folder / "1" / "link").symlink_to("/etc/hostname")
    refused = load(server, "reaching")
    assert (refused.status, said in refused.json["error"]) == (400, True), refused.json
    assert load(server, "add").status == 200
    assert server.infer_json("add", ONES).status == 200
