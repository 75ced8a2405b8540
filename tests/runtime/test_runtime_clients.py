"""Unmodified Triton clients: HTTP and gRPC, synchronous and asyncio."""

import asyncio
import queue
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from tritonclient.utils import InferenceServerException

from runtime_servers import Server

ROWS = np.arange(32, dtype=np.float32).reshape(2, 16)


@pytest.fixture(params=["http", "grpc"])
def kind(request: pytest.FixtureRequest) -> Any:
    return {"http": triton_http, "grpc": triton_grpc}[request.param]


@pytest.fixture
def client(kind: Any, server: Server) -> Any:
    port = server.http if kind is triton_http else server.grpc
    with (
        kind.InferenceServerClient(f"127.0.0.1:{port}", network_timeout=60)
        if kind is triton_http
        else (kind.InferenceServerClient(f"127.0.0.1:{port}")) as connected
    ):
        yield connected


def tensor(kind: Any, name: str, values: np.ndarray[Any, Any], datatype: str) -> Any:
    given = kind.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values)
    return given


def test_an_inference_gives_what_the_model_computes(kind: Any, client: Any) -> None:
    result = client.infer("add", [tensor(kind, "x", ROWS, "FP32")], model_version="2", request_id="mine")
    np.testing.assert_array_equal(result.as_numpy("y"), ROWS + 2)


def test_the_latest_version_answers_when_none_is_named(kind: Any, client: Any) -> None:
    result = client.infer("add", [tensor(kind, "x", ROWS, "FP32")])
    np.testing.assert_array_equal(result.as_numpy("y"), ROWS + 2)


def test_several_inputs_and_chosen_outputs(kind: Any, client: Any) -> None:
    a, b = np.array([[1, 2, 3]], np.int32), np.array([[10, 20, 30]], np.int32)
    wanted = [kind.InferRequestedOutput("difference")]
    result = client.infer("two", [tensor(kind, "b", b, "INT32"), tensor(kind, "a", a, "INT32")], outputs=wanted)
    np.testing.assert_array_equal(result.as_numpy("difference"), a - b)
    assert result.as_numpy("sum") is None


def test_text_goes_through_unchanged(kind: Any, client: Any) -> None:
    text = np.array([[b"forebay"], ["Stausee \N{LATIN SMALL LETTER O WITH DIAERESIS}".encode()], [b""]], dtype=object)
    result = client.infer("text", [tensor(kind, "text", text, "BYTES")])
    np.testing.assert_array_equal(result.as_numpy("same"), text)


def test_half_precision_goes_through_unchanged(kind: Any, client: Any) -> None:
    halves = np.array([[0.5, -1.25, 65504, 0]], np.float16)
    result = client.infer("half", [tensor(kind, "h", halves, "FP16")])
    np.testing.assert_array_equal(result.as_numpy("same"), halves)


def test_a_model_without_batches_is_served_as_it_is(kind: Any, client: Any) -> None:
    values = np.array([1.0, 2.0, 3.0])
    result = client.infer("fixed", [tensor(kind, "x", values, "FP64")])
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * values)


def test_the_best_classes_come_with_their_names(kind: Any, client: Any) -> None:
    scores = np.array([[0.25, 3.5, 1.0], [9.0, 0.0, 8.0]], np.float32)
    wanted = [kind.InferRequestedOutput("y", class_count=2)]
    result = client.infer("labelled", [tensor(kind, "x", scores, "FP32")], outputs=wanted)
    assert result.as_numpy("y").tolist() == [
        [b"3.500000:1:bee", b"1.000000:2:cat"],
        [b"9.000000:0:ant", b"8.000000:2:cat"],
    ]


def test_the_server_says_what_it_is_and_has(kind: Any, client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("add")
    assert client.is_model_ready("add", "2")
    if kind is triton_http:
        assert client.get_server_metadata()["name"] == "forebay"
        assert client.get_model_metadata("two")["inputs"][0] == {"name": "a", "datatype": "INT32", "shape": [-1, -1]}
        assert client.get_model_config("add")["max_batch_size"] == 8
    else:
        assert client.get_server_metadata().name == "forebay"
        assert list(client.get_model_metadata("two").inputs[0].shape) == [-1, -1]
        assert client.get_model_config("add").config.max_batch_size == 8


def test_statistics_count_what_was_answered(kind: Any, client: Any) -> None:
    def count() -> int:
        if kind is triton_http:
            return int(client.get_inference_statistics("fixed")["model_stats"][0]["inference_count"])
        return int(client.get_inference_statistics("fixed").model_stats[0].inference_count)

    before = count()
    for _ in range(3):
        client.infer("fixed", [tensor(kind, "x", np.zeros(3), "FP64")])
    assert count() == before + 3


def test_an_unknown_model_is_named_in_the_refusal(kind: Any, client: Any) -> None:
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'nothing' is not found"):
        client.infer("nothing", [tensor(kind, "x", ROWS, "FP32")])


def test_json_tensors_go_both_ways(server: Server) -> None:
    given = triton_http.InferInput("x", [2, 16], "FP32")
    given.set_data_from_numpy(ROWS, binary_data=False)
    wanted = [triton_http.InferRequestedOutput("y", binary_data=False)]
    with triton_http.InferenceServerClient(f"127.0.0.1:{server.http}") as client:
        result: Any = client.infer("add", [given], outputs=wanted)
    np.testing.assert_array_equal(result.as_numpy("y"), ROWS + 2)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_may_be_compressed_both_ways(server: Server, coding: str) -> None:
    with triton_http.InferenceServerClient(f"127.0.0.1:{server.http}") as client:
        result: Any = client.infer(
            "add",
            [tensor(triton_http, "x", ROWS, "FP32")],
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
    np.testing.assert_array_equal(result.as_numpy("y"), ROWS + 2)


def test_a_stream_answers_in_order_and_goes_on_after_a_refusal(server: Server) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(20):
            model = "nothing" if number == 7 else "add"
            client.async_stream_infer(model, [tensor(triton_grpc, "x", ROWS + number, "FP32")], request_id=str(number))
        received = [answers.get(timeout=60) for _ in range(20)]
        client.stop_stream()
    assert "'nothing' is not found" in str(received[7][1])
    for number, (result, _) in enumerate(received):
        if number != 7:
            assert result.get_response().id == str(number)
            np.testing.assert_array_equal(result.as_numpy("y"), ROWS + number + 2)


async def test_many_asyncio_http_clients_at_once_get_each_their_own_answer(server: Server) -> None:
    async with triton_http_aio.InferenceServerClient(f"127.0.0.1:{server.http}", conn_limit=64) as client:

        async def one(number: int) -> None:
            result: Any = await client.infer("add", [tensor(triton_http_aio, "x", ROWS + number, "FP32")])
            np.testing.assert_array_equal(result.as_numpy("y"), ROWS + number + 2)

        await asyncio.gather(*(one(number) for number in range(200)))


async def test_many_asyncio_grpc_calls_at_once_get_each_their_own_answer(server: Server) -> None:
    async with triton_grpc_aio.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:

        async def one(number: int) -> None:
            result: Any = await client.infer("add", [tensor(triton_grpc_aio, "x", ROWS + number, "FP32")])
            np.testing.assert_array_equal(result.as_numpy("y"), ROWS + number + 2)

        await asyncio.gather(*(one(number) for number in range(200)))
