"""What a client can get wrong gets Triton's status code and message; the server goes on."""

import json
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

from forebay_runtime.protocol.triton_messages import service
from runtime_servers import Server

X = {"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [0.0] * 16}
BINARY = {"name": "x", "datatype": "FP32", "shape": [1, 16], "parameters": {"binary_data_size": 64}}
ID = "[request id: <id_unknown>] "


def inputs(*entries: dict[str, Any], **others: Any) -> str:
    return json.dumps({"inputs": list(entries), **others})


def x(**changes: Any) -> dict[str, Any]:
    """The right input with these changes; None leaves a field out."""
    return {key: value for key, value in {**X, **changes}.items() if value is not None}


HTTP_CASES = [
    pytest.param("/v2/models/nothing/infer", "{}", 404, "Request for unknown model: 'nothing' is not found", id="model"),
    pytest.param(
        "/v2/models/add/versions/7/infer", "{}", 404, "Request for unknown model: 'add' version 7 is not found", id="version"
    ),
    pytest.param("/v2/models/add/versions/0/infer", "{}", 400, "failed to get model version", id="version zero"),
    pytest.param("/v2/models/add/infer", "{", 500, "failed to parse the request JSON buffer", id="cut JSON"),
    pytest.param("/v2/models/add/infer", "[1]", 500, "Unable to parse 'request'", id="no object"),
    pytest.param("/v2/models/add/infer", "{}", 500, "Unable to parse 'inputs'", id="no inputs"),
    pytest.param("/v2/models/add/infer", '{"inputs": 5}', 500, "Unable to parse 'inputs'", id="inputs of a wrong type"),
    pytest.param("/v2/models/add/infer", inputs(x(name=None)), 500, "Unable to parse 'name'", id="no name"),
    pytest.param("/v2/models/add/infer", inputs(x(shape=[-1, 16])), 500, "Unable to parse 'shape'", id="negative shape"),
    pytest.param("/v2/models/add/infer", inputs(x(shape="16")), 500, "Unable to parse 'shape'", id="shape as text"),
    pytest.param("/v2/models/add/infer", inputs(X, id=5), 500, "Unable to parse 'id'", id="id of a wrong type"),
    pytest.param(
        "/v2/models/add/infer", inputs(x(data=[1.0])), 500, "Shape does not match true shape of 'data' field", id="count"
    ),
    pytest.param("/v2/models/add/infer", inputs(x(data=["a"] * 16)), 500, "Unable to parse 'data'", id="data as text"),
    pytest.param("/v2/models/add/infer", inputs(x(data=[None] * 16)), 500, "Unable to parse 'data'", id="nulls"),
    pytest.param("/v2/models/add/infer", inputs(x(data=None)), 400, "But no field is set", id="no data"),
    pytest.param(
        "/v2/models/add/infer",
        inputs({**BINARY, "data": [0.0] * 16}),
        400,
        "But set 'data', 'binary_data_size'",
        id="two sources",
    ),
    pytest.param(
        "/v2/models/add/infer",
        inputs({**BINARY, "parameters": {"shared_memory_region": "r"}}),
        501,
        "Client shared memory is disabled",
        id="shared memory",
    ),
    pytest.param(
        "/v2/models/add/infer",
        inputs(BINARY),
        400,
        "unexpected size for input 'x', expecting 64 additional bytes for model 'add'",
        id="no tensor behind the JSON",
    ),
    pytest.param(
        "/v2/models/add/infer",
        inputs(x(name="z")),
        400,
        "unexpected inference input 'z' for model 'add'",
        id="input name",
    ),
    pytest.param(
        "/v2/models/add/infer",
        inputs(),
        400,
        ID + "expected 1 inputs but got 0 inputs for model 'add'. Got inputs [], but missing required inputs ['x']."
        " Please provide all required inputs.",
        id="too few inputs",
    ),
    pytest.param(
        "/v2/models/two/infer",
        inputs(
            {"name": "a", "datatype": "INT32", "shape": [1, 2], "data": [1, 2]},
            {"name": "a", "datatype": "INT32", "shape": [1, 2], "data": [1, 2]},
        ),
        400,
        "input 'a' is given more than once",
        id="input twice",
    ),
    pytest.param(
        "/v2/models/two/infer",
        inputs(
            {"name": "a", "datatype": "INT32", "shape": [1, 2], "data": [1, 2]},
            {"name": "b", "datatype": "INT32", "shape": [2, 1], "data": [1, 2]},
        ),
        400,
        ID + "input 'b' batch size does not match other inputs for 'two'",
        id="batch sizes differ",
    ),
    pytest.param(
        "/v2/models/add/infer",
        inputs(x(datatype="INT32", data=[0] * 16)),
        400,
        ID + "inference input 'x' data-type is 'INT32', but model 'add' expects 'FP32'",
        id="datatype",
    ),
    pytest.param("/v2/models/add/infer", inputs(x(datatype="FLOAT")), 400, "invalid datatype for input x", id="no datatype"),
    pytest.param(
        "/v2/models/add/infer",
        inputs(x(shape=[1, 8], data=[0.0] * 8)),
        400,
        ID + "unexpected shape for input 'x' for model 'add'. Expected [-1,16], got [1,8]. NOTE: Setting a non-zero",
        id="shape",
    ),
    pytest.param(
        "/v2/models/add/infer",
        inputs(x(shape=[9, 16], data=[0.0] * 144), id="nine"),
        400,
        "[request id: nine] inference request batch-size must be <= 8 for 'add'",
        id="batch too large",
    ),
    pytest.param("/v2/models/add/infer", inputs(x(shape=[0, 16], data=[])), 400, "batch-size must be >= 1", id="empty batch"),
    pytest.param("/v2/models/add/infer", inputs(x(shape=[], data=[0.0])), 400, "has no shape", id="no shape"),
    pytest.param(
        "/v2/models/add/infer",
        inputs(X, outputs=[{"name": "q"}]),
        400,
        "unexpected inference output 'q' for model 'add'",
        id="output name",
    ),
    pytest.param(
        "/v2/models/half/infer",
        inputs({"name": "h", "datatype": "FP16", "shape": [1, 4], "data": [0.0] * 4}),
        400,
        "receiving FP16 data via JSON is not supported. Please use the binary data format for input h",
        id="FP16 as JSON",
    ),
    pytest.param(
        "/v2/models/half/infer",
        inputs({"name": "h", "datatype": "FP16", "shape": [1, 4], "data": []}, outputs=[{"name": "same"}]),
        400,
        "receiving FP16 data via JSON",
        id="FP16 empty",
    ),
    pytest.param(
        "/v2/models/text/infer",
        inputs(
            {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]},
            outputs=[{"name": "same", "parameters": {"classification": 1}}],
        ),
        400,
        "class result not available for output 'same'",
        id="classes of text",
    ),
    pytest.param(
        "/v2/models/two/infer",
        inputs(
            {"name": "a", "datatype": "INT32", "shape": [1, 1], "data": [1 << 40]},
            {"name": "b", "datatype": "INT32", "shape": [1, 1], "data": [1]},
        ),
        400,
        "input 'a' holds values outside of INT32",
        id="out of range",
    ),
    pytest.param(
        "/v2/models/add/infer", inputs(X, parameters={"triton_x": 1}), 400, "reserved for Triton usage", id="reserved"
    ),
    pytest.param("/v2/models/add/infer", inputs(X, parameters={"mine": [1]}), 400, "has invalid type", id="list parameter"),
    pytest.param(
        "/v2/models/add/infer", inputs(X, parameters={"timeout": "1"}), 500, "Unable to parse 'timeout'", id="timeout"
    ),
    pytest.param(
        "/v2/models/gather/infer",
        inputs({"name": "index", "datatype": "INT64", "shape": [1, 1], "data": [99]}),
        500,
        "onnx runtime error",
        id="execution",
    ),
    pytest.param("/v2/models/add/generate", "{}", 501, "not supported by this server", id="generate"),
    pytest.param("/v2/models/a/b/infer", "{}", 404, "Not Found", id="path"),
    pytest.param("/v2/repository/other/models/add/load", "", 501, "not supported", id="named repository"),
    pytest.param("/v2/systemsharedmemory/region/r/register", "{}", 501, "not supported", id="shared memory region"),
]


@pytest.mark.parametrize(("path", "body", "status", "message"), HTTP_CASES)
def test_a_bad_http_request_gets_tritons_answer(server: Server, path: str, body: str, status: int, message: str) -> None:
    answer = server.request("POST", path, body)
    assert (answer.status, message in answer.json["error"]) == (status, True), answer.body


@pytest.mark.parametrize(
    ("length", "status", "message"),
    [
        pytest.param("999999", 400, "Unable to parse Inference-Header-Content-Length, got: 999999", id="beyond the body"),
        pytest.param("0" * 20 + "9" * 5000, 400, "Unable to parse Inference-Header-Content-Length", id="endless"),
        pytest.param("-1", 400, "Unable to parse Inference-Header-Content-Length, got: -1", id="negative"),
        pytest.param("ten", 400, "Unable to parse Inference-Header-Content-Length, got: ten", id="text"),
    ],
)
def test_a_wrong_header_length_is_refused(server: Server, length: str, status: int, message: str) -> None:
    answer = server.request("POST", "/v2/models/add/infer", inputs(X), {"Inference-Header-Content-Length": length})
    assert (answer.status, message in answer.json["error"]) == (status, True)


def test_too_many_bytes_behind_the_json_are_refused(server: Server) -> None:
    description = inputs(BINARY).encode()
    headers = {"Inference-Header-Content-Length": str(len(description))}
    answer = server.request("POST", "/v2/models/add/infer", description + bytes(65), headers)
    assert (answer.status, answer.json["error"]) == (400, "unexpected additional input data for model 'add'")


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        pytest.param("GET", "/", 404, "Not Found", id="root"),
        pytest.param("GET", "/v2/models/add/infer", 405, "Method Not Allowed", id="verb"),
        pytest.param("POST", "/v2/health/live", 405, "Method Not Allowed", id="health verb"),
        pytest.param("GET", "/v2/models/nothing", 404, "Request for unknown model: 'nothing' is not found", id="metadata"),
        pytest.param("GET", "/v2/models/nothing/ready", 404, "'nothing' is not found", id="ready"),
        pytest.param("GET", "/v2/models/add/versions/9/ready", 404, "version 9 is not found", id="ready version"),
        pytest.param("GET", "/v2/models/nothing/config", 404, "'nothing' is not found", id="config"),
        pytest.param("GET", "/v2/models/nothing/stats", 400, "requested model 'nothing' is not available", id="stats"),
        pytest.param(
            "GET",
            "/v2/models/add/versions/9/stats",
            400,
            "requested model version is not available for model 'add'",
            id="stats version",
        ),
        pytest.param("GET", "/v2/models/%61dd", 404, "'%61dd' is not found", id="paths are not decoded"),
    ],
)
def test_other_wrong_requests_get_tritons_answer(server: Server, method: str, path: str, status: int, body: str) -> None:
    answer = server.request(method, path)
    assert (answer.status, body in answer.json["error"]) == (status, True), answer.body


def grpc_request(**changes: Any) -> Any:
    request = service.ModelInferRequest(model_name="add", model_version="")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 16])
    request.raw_input_contents.append(bytes(64))
    for key, value in changes.items():
        setattr(request, key, value)
    return request


def changed(change: Any) -> Any:
    request = grpc_request()
    change(request)
    return request


def _shape(request: Any) -> None:
    request.inputs[0].shape[:] = [1, -1]


def _typed(request: Any) -> None:
    del request.raw_input_contents[:]
    request.inputs[0].contents.fp32_contents.append(1.0)


def _uint64(request: Any) -> None:
    request.parameters["timeout"].uint64_param = 5


def _classes(request: Any) -> None:
    request.outputs.add(name="y").parameters["classification"].int64_param = 0


GRPC_CASES = [
    pytest.param(grpc_request(model_name="nothing"), "NOT_FOUND", "'nothing' is not found", id="model"),
    pytest.param(grpc_request(model_version="9"), "NOT_FOUND", "'add' version 9 is not found", id="version"),
    pytest.param(grpc_request(model_version="new"), "INVALID_ARGUMENT", "version string 'new'", id="no version"),
    pytest.param(
        changed(lambda r: r.raw_input_contents.append(b"")), "INVALID_ARGUMENT", "expected 1 raw_input_contents", id="contents"
    ),
    pytest.param(
        changed(lambda r: r.raw_input_contents.__setitem__(0, bytes(60))),
        "INVALID_ARGUMENT",
        "input byte size mismatch for input 'x' for model 'add'. Expected 64, got 60",
        id="size",
    ),
    pytest.param(
        changed(lambda r: r.inputs[0].contents.fp32_contents.append(1.0)),
        "INVALID_ARGUMENT",
        "contents field must not be specified when using raw_input_contents for 'x' for model 'add'",
        id="both contents",
    ),
    pytest.param(changed(_typed), "INVALID_ARGUMENT", "Expected 16, got 1", id="typed count"),
    pytest.param(changed(_shape), "INVALID_ARGUMENT", "All input dimensions should be specified", id="open shape"),
    pytest.param(changed(_uint64), "INVALID_ARGUMENT", "invalid value type for 'timeout'", id="uint64 timeout"),
    pytest.param(changed(_classes), "INVALID_ARGUMENT", "'classification'", id="no classes"),
]


@pytest.mark.parametrize(("request_message", "code", "message"), GRPC_CASES)
def test_a_bad_grpc_request_gets_tritons_answer(server: Server, request_message: Any, code: str, message: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request_message)
    assert caught.value.code().name == code
    assert message in str(caught.value.details())


def test_bytes_that_are_no_message_are_refused(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\x0a\xff\xff\xff\x0f")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("method", ["TraceSetting", "LogSettings", "SystemSharedMemoryStatus", "CudaSharedMemoryRegister"])
def test_what_is_not_built_says_so(server: Server, method: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == f"{method} is not supported by this server"


def test_a_typed_grpc_request_is_answered(server: Server) -> None:
    request = service.ModelInferRequest(model_name="two")
    for name, value in (("a", 3), ("b", 4)):
        request.inputs.add(name=name, datatype="INT32", shape=[1, 1]).contents.int_contents.append(value)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert [int(np.frombuffer(raw, np.int32)[0]) for raw in answer.raw_output_contents] == [7, -1]


def test_the_health_service_reports_readiness(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
