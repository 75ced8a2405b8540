"""What the gateway adds to requests, and the retry answer it gets."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import hpack
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from forebay_runtime.protocol.triton_messages import service
from forebay_runtime.server.grpc_server import INFER_CALLS
from forebay_schema.repository import LoadOrder, UnloadOrder
from forebay_schema.serving import ServingConfig
from runtime_models import add_model, put_artifact
from runtime_servers import Server, requests_in_background, running_server, wait_for

DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
PATIENCE_S = 300.0
"""For what begins a thousand threads."""
ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}


def load(server: Server, store: Path) -> None:
    uri, digest = put_artifact(store, add_model())
    order = LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=1, forebay_sequence=1)
    assert server.load("m", order, ServingConfig(max_batch_size=1)).status == 200


@pytest.fixture
def paced(tmp_path: Path) -> Iterator[Server]:
    """Version 1 of model m is ready on a device on which a request takes 700 ms."""
    arguments = ("--model-control-mode", "explicit", "--device", "simulated:64Mi,pace=700ms")
    with running_server(tmp_path / "run", *arguments) as running:
        load(running, tmp_path / "store")
        yield running


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Server]:
    """Version 1 of model m is ready on a device on which a request takes longer than the test."""
    arguments = ("--model-control-mode", "explicit", "--device", "simulated:64Mi,pace=300s", "--exit-timeout-secs", "0.5")
    with running_server(tmp_path / "run", *arguments) as running:
        load(running, tmp_path / "store")
        yield running


def waiting(server: Server) -> float:
    return server.metric("nv_inference_pending_request_count", model="m")


def executing(server: Server) -> float:
    return server.metric("forebay_model_executing", model="m")


def under_way(server: Server) -> float:
    return waiting(server) + executing(server)


def grpc_infer(server: Server, *metadata: tuple[str, str]) -> tuple[Any, Any, list[tuple[str, str]]]:
    """Status, details, and the metadata that came with it."""
    request = service.ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 16]).contents.fp32_contents.extend([1.0] * 16)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            _, call = stub.ModelInfer.with_call(request, metadata=metadata)
        except grpc.RpcError as error:
            return error.code(), error.details(), _pairs(error.trailing_metadata())
        return call.code(), "", _pairs(call.trailing_metadata())


def _pairs(metadata: Any) -> list[tuple[str, str]]:
    return [(key, value) for key, value in metadata]


def test_a_version_the_gateway_chose_that_is_not_ready_is_to_be_tried_elsewhere(server: Server) -> None:
    answer = server.infer_json("add", ONES, {"forebay-version": "9"})
    assert (answer.status, answer.headers["x-forebay-retry"]) == (503, "not-ready")
    unknown = server.infer_json("nothing", ONES, {"forebay-version": "1"})
    assert (unknown.status, unknown.headers["x-forebay-retry"]) == (503, "not-ready")


def test_a_version_the_client_named_gets_triton_s_own_answer(server: Server) -> None:
    answer = server.request("POST", "/v2/models/add/versions/9/infer", "{}", {"forebay-version": "2"})
    assert answer.status == 404
    assert "x-forebay-retry" not in answer.headers


def test_another_model_than_the_host_names_is_refused(server: Server) -> None:
    answer = server.infer_json("add", ONES, {"forebay-model": "two"})
    assert answer.status == 400
    assert answer.json["error"] == "this host serves model 'two', but the request names model 'add'"
    assert server.infer_json("add", ONES, {"forebay-model": "add", "forebay-version": "2"}).status == 200


def test_grpc_has_the_same_contract(paced: Server) -> None:
    code, _, metadata = grpc_infer(paced, ("forebay-version", "9"))
    assert (code, dict(metadata)["x-forebay-retry"]) == (grpc.StatusCode.UNAVAILABLE, "not-ready")
    code, details, _ = grpc_infer(paced, ("forebay-model", "other"), ("forebay-version", "1"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "this host serves model 'other', but the request names model 'm'"
    code, _, metadata = grpc_infer(paced, ("forebay-model", "m"), ("forebay-version", "1"))
    assert (code, metadata) == (grpc.StatusCode.OK, [])


def test_a_grpc_retry_answer_is_one_block_of_headers_where_a_proxy_looks_for_it(server: Server) -> None:
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/inference.GRPCInferenceService/ModelInfer"),
        (":authority", "h"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("forebay-version", "9"),
    ]
    message = service.ModelInferRequest(model_name="add").SerializeToString()
    with socket.create_connection(("127.0.0.1", server.grpc), timeout=60) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, b"")
            + frame(HEADERS, END_HEADERS, hpack.Encoder().encode(fields), stream=1)
            + frame(DATA, END_STREAM, b"\0" + len(message).to_bytes(4, "big") + message, stream=1)
        )
        kind, flags, content = first_frame_of_stream(connection)
    answer = dict(hpack.Decoder().decode(content, raw=True))
    assert (kind, flags & END_STREAM) == (HEADERS, END_STREAM)
    assert (answer[b"grpc-status"], answer[b"x-forebay-retry"]) == (b"14", b"not-ready")


def frame(kind: int, flags: int, content: bytes, stream: int = 0) -> bytes:
    return len(content).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + content


def first_frame_of_stream(connection: socket.socket) -> tuple[int, int, bytes]:
    """Kind, flags and content of the first HTTP/2 frame that belongs to a request."""
    with connection.makefile("rb") as received:
        while True:
            head = received.read(9)
            content = received.read(int.from_bytes(head[:3], "big"))
            if int.from_bytes(head[5:9], "big"):
                return head[3], head[4], content


def test_unloading_answers_what_waits_and_sends_the_rest_elsewhere(paced: Server) -> None:
    with requests_in_background(paced, "m", ONES, {"forebay-version": "1"}, count=6) as answers:
        wait_for(lambda: waiting(paced) >= 3, "some wait")
        unloading = threading.Thread(target=paced.unload, args=("m", UnloadOrder(forebay_version=1, forebay_sequence=2)))
        unloading.start()
        wait_for(lambda: paced.index() == {("m", "1"): "UNLOADING"}, "the version unloads")
        late = paced.infer_json("m", ONES, {"forebay-version": "1"})
    unloading.join()
    assert [answer.status for answer in answers] == [200] * 6
    assert (late.status, late.headers["x-forebay-retry"]) == (503, "not-ready")
    assert paced.index() == {("m", "1"): "UNAVAILABLE"}


def test_a_server_told_to_end_answers_what_it_has_and_sends_the_rest_elsewhere(paced: Server) -> None:
    with requests_in_background(paced, "m", ONES, {"forebay-version": "1"}, count=6) as answers:
        wait_for(lambda: waiting(paced) >= 3, "some wait")
        paced.process.terminate()
        wait_for(lambda: paced.metric("forebay_server_draining") == 1, "the server drains")
        health = [paced.request("GET", f"/v2/health/{what}") for what in ("live", "ready")]
        health = [paced.request("GET", f"/v2/health/{what}") for what in ("live", "ready")]
        late = paced.infer_json("m", ONES, {"forebay-version": "1"})
        code, _, metadata = grpc_infer(paced, ("forebay-version", "1"))
    assert [(answer.status, answer.json) for answer in health] == [(503, {"error": "Server exiting"})] * 2
    assert [(answer.status, answer.json) for answer in health] == [(503, {"error": "Server exiting"})] * 2
    assert (late.status, late.headers["x-forebay-retry"]) == (503, "draining")
    assert (code, dict(metadata)["x-forebay-retry"]) == (grpc.StatusCode.UNAVAILABLE, "draining")
    assert [answer.status for answer in answers] == [200] * 6
    assert paced.process.wait(60) == 0


def test_a_server_that_cannot_finish_in_time_ends_all_the_same(stuck: Server) -> None:
    with requests_in_background(stuck, "m", ONES) as answers:
        wait_for(lambda: executing(stuck) == 1, "the request executes")
        assert stuck.terminate() == 0
    assert answers == []


def test_no_grpc_call_waits_where_queue_depth_does_not_show_it(stuck: Server) -> None:
    given = triton_grpc.InferInput("x", [1, 16], "FP32")
    given.set_data_from_numpy(np.ones((1, 16), np.float32))
    refusals: list[InferenceServerException] = []

    def answered(result: Any, error: Any) -> None:  # noqa: ARG001 - tritonclient's signature
        if error.status() != "StatusCode.CANCELLED":
            refusals.append(error)

    with triton_grpc.InferenceServerClient(f"127.0.0.1:{stuck.grpc}") as client:
        calls = [client.async_infer("m", [given], answered) for _ in range(INFER_CALLS + 3)]
        wait_for(lambda: under_way(stuck) == INFER_CALLS, "all calls but three wait", PATIENCE_S)
        wait_for(lambda: len(refusals) == 3, "the three are refused", PATIENCE_S)
        assert {(refusal.status(), refusal.message()) for refusal in refusals} == {
            (
                "StatusCode.UNAVAILABLE",
                "this server already has 1024 gRPC inference calls waiting or in execution, which is its limit: try again"
                " later, or with fewer calls at once",
            )
        }
        assert stuck.metric("forebay_grpc_refused_calls_total") == 3
        code, _, metadata = grpc_infer(stuck, ("forebay-version", "1"))
        assert (code, dict(metadata)["x-forebay-retry"]) == (grpc.StatusCode.UNAVAILABLE, "calls-full")
        assert (client.is_server_live(), client.is_model_ready("m")) == (True, True)
        one = calls[INFER_CALLS // 2]
        assert one is not None
        one.cancel()
        wait_for(lambda: under_way(stuck) == INFER_CALLS - 1, "one has left", PATIENCE_S)

        def taken() -> bool:
            """Its thread may be free a moment later than its place in the queue."""
            refused = len(refusals)
            client.async_infer("m", [given], answered)
            wait_for(lambda: under_way(stuck) == INFER_CALLS or len(refusals) > refused, "it is taken or refused", PATIENCE_S)
            return under_way(stuck) == INFER_CALLS

        wait_for(taken, "there is room for one more", PATIENCE_S)
        stuck.process.kill()


def test_a_client_that_goes_away_leaves_the_queue(stuck: Server) -> None:
    with requests_in_background(stuck, "m", ONES):
        wait_for(lambda: executing(stuck) == 1, "one executes")
        with grpc.insecure_channel(f"127.0.0.1:{stuck.grpc}") as channel:
            request = service.ModelInferRequest(model_name="m")
            request.inputs.add(name="x", datatype="FP32", shape=[1, 16]).contents.fp32_contents.extend([1.0] * 16)
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(request)
            wait_for(lambda: waiting(stuck) == 1, "the second waits")
            call.cancel()
            wait_for(lambda: waiting(stuck) == 0, "it waits no longer")
        assert stuck.metric("nv_inference_request_failure", model="m", reason="CANCELED") == 1
        assert stuck.metric("nv_inference_exec_count", model="m") == 0
        stuck.process.kill()
