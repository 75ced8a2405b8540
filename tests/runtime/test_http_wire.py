"""HTTP/1.1 byte by byte: framing, pipelining, chunks, limits, and clients that go away."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime_servers import Server, Wire, running_server, wait_for

ROW = np.arange(16, dtype=np.float32).reshape(1, 16)
DESCRIPTION = json.dumps(
    {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "parameters": {"binary_data_size": 64}}],
        "parameters": {"binary_data_output": True},
    }
).encode()
BODY = DESCRIPTION + ROW.tobytes()
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n"


def infer_head(*lines: str, length: int | None = len(BODY), version: str = "1.1") -> bytes:
    fields = ["Host: h", f"Inference-Header-Content-Length: {len(DESCRIPTION)}", *lines]
    if length is not None:
        fields.append(f"Content-Length: {length}")
    return (f"POST /v2/models/add/infer HTTP/{version}\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode()


def values(body: bytes, json_size: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.frombuffer(body, np.float32, offset=int(json_size))


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with Wire(server.http) as connection:
        yield connection


def assert_inferred(wire: Wire) -> None:
    answer = wire.answer()
    assert answer.status == 200, answer.body
    np.testing.assert_array_equal(values(answer.body, answer.headers["inference-header-content-length"]), ROW[0] + 2)


def test_a_request_may_come_one_byte_at_a_time(wire: Wire) -> None:
    for byte in infer_head() + BODY:
        wire.send(bytes([byte]))
    assert_inferred(wire)


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    wire.send((infer_head() + BODY) * 3 + LIVE + infer_head() + BODY + b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n")
    for _ in range(3):
        assert_inferred(wire)
    live = wire.answer()
    assert (live.status, live.body) == (200, b"")
    assert_inferred(wire)
    assert wire.answer().status == 404


def test_a_flood_of_pipelined_requests_is_answered_whole(wire: Wire) -> None:
    wire.send(LIVE * 3000)
    assert [wire.answer().status for _ in range(3000)] == [200] * 3000


def test_a_flood_that_stops_within_a_request_goes_on_when_the_rest_comes(wire: Wire) -> None:
    flood = (infer_head() + BODY) * 300
    wire.send(flood[:-10])
    for _ in range(299):
        assert_inferred(wire)
    wire.send(flood[-10:])
    assert_inferred(wire)


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_chunked_bodies_are_put_together(wire: Wire, size: int) -> None:
    pieces = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    chunks = b"".join(f"{len(piece):x};note=1\r\n".encode() + piece + b"\r\n" for piece in pieces)
    wire.send(infer_head("Transfer-Encoding: chunked", length=None) + chunks + b"0\r\nTrailer: t\r\n\r\n" + LIVE)
    assert_inferred(wire)
    assert wire.answer().status == 200


def test_an_http_1_0_client_is_answered_and_let_go(wire: Wire) -> None:
    wire.send(infer_head(version="1.0") + BODY)
    assert_inferred(wire)
    assert wire.closed()


def test_an_http_1_0_client_may_ask_to_stay(wire: Wire) -> None:
    wire.send(infer_head("Connection: keep-alive", version="1.0") + BODY + LIVE)
    assert_inferred(wire)
    assert wire.answer().status == 200


def test_connection_close_is_honoured(wire: Wire) -> None:
    wire.send(infer_head("Connection: close") + BODY)
    assert_inferred(wire)
    assert wire.closed()


def test_a_client_that_waits_for_100_continue_gets_it(wire: Wire) -> None:
    wire.send(infer_head("Expect: 100-continue"))
    assert wire.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(BODY)
    assert_inferred(wire)


def test_a_client_that_waits_for_100_continue_may_send_chunks(wire: Wire) -> None:
    wire.send(infer_head("Expect: 100-continue", "Transfer-Encoding: chunked", length=None))
    assert wire.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
    assert_inferred(wire)


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_taken(wire: Wire, coding: str, compress: Callable[[bytes], bytes]) -> None:
    packed = compress(BODY)
    wire.send(infer_head(f"Content-Encoding: {coding}", length=len(packed)) + packed)
    assert_inferred(wire)


@pytest.mark.parametrize(
    ("coding", "body", "status", "message"),
    [
        pytest.param("br", BODY, 501, "Unsupported compression type", id="unknown"),
        pytest.param("gzip", b"no gzip at all", 400, "the request body is no gzip data", id="not gzip"),
        pytest.param("gzip", gzip.compress(BODY)[:-9], 400, "no complete gzip data", id="cut"),
        pytest.param("gzip", gzip.compress(bytes(100 << 20)), 400, "exceeds the maximum allowed input size", id="bomb"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(wire: Wire, coding: str, body: bytes, status: int, message: str) -> None:
    wire.send(infer_head(f"Content-Encoding: {coding}", length=len(body)) + body)
    answer = wire.answer()
    assert (answer.status, message in answer.json["error"]) == (status, True), answer.body
    wire.send(LIVE)
    assert wire.answer().status == 200


@pytest.mark.parametrize(
    ("request_bytes", "message"),
    [
        pytest.param(b"nonsense\r\n\r\n", "malformed HTTP request", id="no HTTP"),
        pytest.param(b"GET /v2 HTTP/1.1\r\nHost : h\r\n\r\n", "malformed HTTP request", id="space before colon"),
        pytest.param(
            infer_head("Content-Length: 5", "Transfer-Encoding: chunked", length=None), "malformed", id="two lengths"
        ),
        pytest.param(infer_head("Content-Length: 4", "Content-Length: 5", length=None), "malformed", id="lengths differ"),
        pytest.param(infer_head("Transfer-Encoding: gzip", length=None), "malformed", id="unknown transfer coding"),
        pytest.param(infer_head("Transfer-Encoding: chunked", length=None) + b"zz\r\n", "is no chunk size", id="bad chunk"),
        pytest.param(b"GET /" + b"a" * 40_000, "larger than 32768 bytes", id="endless head"),
        pytest.param(infer_head(length=(64 << 20) + 1), "exceeds the maximum allowed input size of 67108864", id="too large"),
        pytest.param(
            infer_head("Transfer-Encoding: chunked", length=None) + b"4000001\r\n", "exceeds the maximum", id="large chunk"
        ),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_connection_closed(wire: Wire, request_bytes: bytes, message: str) -> None:
    wire.send(request_bytes)
    answer = wire.answer()
    assert (answer.status, message in answer.json["error"]) == (400, True), answer.body
    assert answer.headers["connection"] == "close"
    assert wire.closed()


def test_a_raw_request_is_one_tensor_and_so_is_its_answer(server: Server) -> None:
    answer = server.request("POST", "/v2/models/add/infer", ROW.tobytes(), {"Inference-Header-Content-Length": "0"})
    np.testing.assert_array_equal(values(answer.body, answer.headers["inference-header-content-length"]), ROW[0] + 2)


def test_a_raw_request_takes_text_as_it_is(server: Server) -> None:
    answer = server.request("POST", "/v2/models/text/infer", b"plain", {"Inference-Header-Content-Length": "0"})
    assert answer.body.endswith(b"\x05\x00\x00\x00plain")


def test_head_is_answered_without_a_body(wire: Wire) -> None:
    wire.send(b"HEAD /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n" + LIVE)
    assert wire.head().startswith(b"HTTP/1.1 405 ")
    assert wire.answer().status == 200


def test_the_answer_is_compressed_for_a_client_that_accepts_it(wire: Wire) -> None:
    wire.send(infer_head("Accept-Encoding: br, deflate;q=0.5, gzip") + BODY)
    answer = wire.answer()
    assert answer.headers["content-encoding"] == "gzip"
    body = gzip.decompress(answer.body)
    np.testing.assert_array_equal(values(body, answer.headers["inference-header-content-length"]), ROW[0] + 2)


def test_a_client_that_closes_leaves_the_queue_and_the_server_goes_on(tmp_path: Path, model_repository: Path) -> None:
    arguments = ("--model-repository", str(model_repository), "--device", "simulated:16Gi,pace=300s")
    with running_server(tmp_path, *arguments) as paced:
        wait_for(lambda: paced.request("GET", "/v2/models/slow/ready").status == 200, "the model is loaded")
        first, second = Wire(paced.http), Wire(paced.http)
        request = json.dumps(
            {
                "inputs": [
                    {"name": "x", "datatype": "FP32", "shape": [1, 512, 512], "parameters": {"binary_data_size": 1 << 20}}
                ]
            }
        ).encode()
        body = request + bytes(1 << 20)
        head = (
            f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: h\r\nInference-Header-Content-Length: {len(request)}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        with first, second:
            first.send(head + body)
            wait_for(lambda: paced.metric("forebay_model_executing", model="slow") == 1, "one executes")
            second.send(head + body)
            wait_for(lambda: paced.metric("nv_inference_pending_request_count", model="slow") == 1, "one waits")
            second.end()
            wait_for(lambda: paced.metric("nv_inference_pending_request_count", model="slow") == 0, "it waits no longer")
        assert paced.metric("nv_inference_request_failure", model="slow", reason="CANCELED") == 1
