"""Requests that are made to hurt: refused at once and with their cause, whatever they claim."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from forebay_runtime.protocol.triton_messages import service
from forebay_runtime.server.grpc_server import HEALTH_CALLS, INFER_CALLS
from runtime_servers import Answer, Server, running_server, wait_for

ONES = {"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}


def binary(server: Server, model: str, entry: dict[str, Any], content: bytes = b"") -> Answer:
    entry = {**entry, "parameters": {"binary_data_size": len(content)}}
    description = json.dumps({"inputs": [entry]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(description))}
    return server.request("POST", f"/v2/models/{model}/infer", description + content, headers)


def grpc_call(server: Server, message: bytes, method: str = "ModelInfer") -> tuple[str, str]:
    """Status and details."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        try:
            call(message)
        except grpc.RpcError as error:
            return error.code().name, str(error.details())
    return "OK", ""


def grpc_request(model: str, shape: list[int], content: bytes, datatype: str = "FP32") -> Any:
    request = service.ModelInferRequest(model_name=model, raw_input_contents=[content])
    request.inputs.add(name="x", datatype=datatype, shape=shape)
    return request


@pytest.mark.parametrize("count", [1 << 31, 1 << 40])
def test_elements_that_are_only_claimed_are_refused(server: Server, count: int) -> None:
    message = f"incorrect number of elements in BYTES input 'text': expecting {count}, but 4 bytes hold 1 at most"
    answer = binary(server, "texts", {"name": "text", "datatype": "BYTES", "shape": [1, count]}, bytes(4))
    assert (answer.status, answer.json["error"]) == (400, message)
    request = service.ModelInferRequest(model_name="texts", raw_input_contents=[bytes(4)])
    request.inputs.add(name="text", datatype="BYTES", shape=[1, count])
    assert grpc_call(server, request.SerializeToString()) == ("INVALID_ARGUMENT", message)


@pytest.mark.parametrize("shape", [[0, (1 << 63) - 1], [1 << 62, 1 << 62], [1 << 60, 0]])
def test_shapes_beyond_all_memory_are_refused(server: Server, shape: list[int]) -> None:
    message = f"shape [{shape[0]},{shape[1]}] of input 'x' for model 'open' is larger than any tensor can be"
    entry = {"name": "x", "datatype": "FP32", "shape": shape}
    for answer in (binary(server, "open", entry), server.infer_json("open", {"inputs": [{**entry, "data": []}]})):
        assert answer.status == 400
        assert message in answer.json["error"]
    code, details = grpc_call(server, grpc_request("open", shape, b"").SerializeToString())
    assert (code, message in details) == ("INVALID_ARGUMENT", True)


def test_empty_tensors_are_served(server: Server) -> None:
    answer = server.infer_json("open", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [0, 4], "data": []}]})
    assert answer.json["outputs"][0]["shape"] == [0, 4]


def test_json_longer_than_any_request_for_the_model_is_not_read(server: Server) -> None:
    spaces = " " * (2 << 20)
    answer = server.request("POST", "/v2/models/add/infer", json.dumps({"inputs": [ONES]}) + spaces)
    assert answer.status == 400
    assert "a request for model 'add' needs 1056768 at most" in answer.json["error"]
    open_one = {"inputs": [{**ONES, "data": [[-1.0] * 16]}]}
    assert server.request("POST", "/v2/models/open/infer", json.dumps(open_one) + spaces).status == 200


@pytest.mark.parametrize(
    "data", ["1," * 400_000 + "1", "[]," * 300_000 + "[]", "[" * 900 + "]" * 900, "[1," * 900 + "1" + "]" * 900]
)
def test_data_of_a_wrong_shape_is_refused_at_once(server: Server, data: str) -> None:
    body = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[' + data + "]}]}"
    answer = server.request("POST", "/v2/models/open/infer", body)
    assert answer.status == 500
    assert "Shape does not match true shape of 'data' field" in answer.json["error"]


def test_an_output_named_many_times_comes_once(server: Server) -> None:
    answer = server.infer_json("add", {"inputs": [ONES], "outputs": [{"name": "y"}] * 1000})
    assert [output["name"] for output in answer.json["outputs"]] == ["y"]
    request = grpc_request("add", [1, 16], np.ones((1, 16), np.float32).tobytes())
    for _ in range(1000):
        request.outputs.add(name="y")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        answered = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(request.SerializeToString())
    assert [output.name for output in service.ModelInferResponse.FromString(answered).outputs] == ["y"]


def test_parameters_without_end_are_refused(server: Server) -> None:
    answer = server.infer_json("add", {"inputs": [ONES], "parameters": {f"p{index}": 1 for index in range(1001)}})
    assert (answer.status, answer.json["error"]) == (400, "the request has 1001 parameters, expected 1000 at most")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\x0a" + b"\xff" * 100_000 + b"\x01", id="a length without end"),
        pytest.param(b"\x78\x01" * 20_000, id="fields nobody knows"),
        pytest.param(b"\x3a\x00" * 20_000, id="empty tensors"),
        pytest.param(b"\xff" * 100, id="no message"),
    ],
)
def test_messages_made_to_be_slow_to_read_are_refused(server: Server, message: bytes) -> None:
    assert grpc_call(server, message)[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("method", ["ModelMetadata", "RepositoryModelLoad", "RepositoryIndex"])
def test_bytes_that_are_no_message_are_refused_by_every_method(server: Server, method: str) -> None:
    code, details = grpc_call(server, b"\xff" * 100, method)
    assert (code, details.startswith(f"the request is no {method}Request")) == ("INVALID_ARGUMENT", True)


def test_a_refusal_repeats_what_was_sent_only_in_part(server: Server) -> None:
    for name in ("m" * 1_000_000, "\N{SNOWMAN}" * 100_000):
        code, details = grpc_call(server, grpc_request(name, [1], b"").SerializeToString())
        assert (code, details.startswith(f"Request for unknown model: '{name[:100]}")) == ("NOT_FOUND", True)


def test_calls_whose_message_never_comes_do_not_keep_health_checks_from_a_thread(server: Server) -> None:
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait()
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        method = channel.stream_unary("/inference.GRPCInferenceService/ServerLive")
        calls = [method.future(nothing()) for _ in range(HEALTH_CALLS + 4)]
        try:
            wait_for(lambda: any(call.done() for call in calls), "all threads are in use, or were")
            wait_for(lambda: grpc_call(server, b"", "ServerLive")[0] == "OK", "there is a thread for who asks for health")
            # Those for which there was no thread at once; others after a while.
            assert {call.code().name for call in calls if call.done()} <= {"UNAVAILABLE", "CANCELLED"}
        finally:
            over.set()
            for call in calls:
                call.cancel()


def test_inferences_whose_message_never_comes_do_not_keep_others_from_a_thread(server: Server) -> None:
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait()
        yield b""

    message = grpc_request("add", [1, 16], np.ones((1, 16), np.float32).tobytes()).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        method = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        # Each call of grpcio's with an iterator has a thread of its own here: no more than it takes.
        calls = [method.future(nothing()) for _ in range(INFER_CALLS + 1)]
        try:
            wait_for(lambda: any(call.done() for call in calls), "all threads are in use, or were")
            wait_for(lambda: grpc_call(server, message)[0] == "OK", "there is a thread for who sends a message")
        finally:
            over.set()
            for call in calls:
                call.cancel()


def test_a_call_without_any_message_is_refused(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        method = channel.stream_unary("/inference.GRPCInferenceService/ServerLive")
        with pytest.raises(grpc.RpcError) as caught:
            method(iter(()))
    assert caught.value.details() == "the call has no message"


def test_calls_that_came_while_the_server_did_not_run_are_all_answered(tmp_path: Path) -> None:
    """Beyond 1,000 that were not looked at yet, grpc cancelled them by chance."""
    request = service.ServerLiveRequest().SerializeToString()
    explicit = ("--model-control-mode", "explicit")
    with running_server(tmp_path, *explicit) as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        call(request)
        server.process.send_signal(signal.SIGSTOP)
        try:
            calls = [call.future(request) for _ in range(4_000)]
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert {each.code().name for each in calls} <= {"OK", "UNAVAILABLE"}
