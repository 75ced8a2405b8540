"""What clients may take of the server's memory, and for how long."""

import asyncio
import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from forebay_runtime.protocol.http_answers import HttpAnswer
from forebay_runtime.protocol.triton_messages import service
from forebay_runtime.server.http_connection import Exchange
from forebay_runtime.server.process import Listeners
from forebay_runtime.service.request_memory import RequestMemory
from runtime_servers import Server, Wire, running_server, wait_for

MIB = 1 << 20
ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}


@pytest.fixture(scope="module")
def narrow(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Requests may take 1 MiB together."""
    arguments = ("--model-repository", str(model_repository), "--request-memory", "1Mi")
    with running_server(tmp_path_factory.mktemp("narrow"), *arguments) as running:
        wait_for(lambda: running.request("GET", "/v2/health/ready").status == 200, "all models are loaded")
        yield running


def head(size: int, *lines: str) -> bytes:
    fields = ["POST /v2/models/open/infer HTTP/1.1", "Host: h", f"Content-Length: {size}", *lines]
    return ("\r\n".join(fields) + "\r\n\r\n").encode()


def grpc_status(server: Server, size: int, *metadata: tuple[str, str]) -> tuple[str, dict[str, str], str]:
    """Status, metadata and details."""
    request = service.ModelInferRequest(model_name="open", raw_input_contents=[bytes(4 * size)])
    request.inputs.add(name="x", datatype="FP32", shape=[1, size])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            call(request.SerializeToString(), metadata=metadata)
        except grpc.RpcError as error:
            received: Any = error.trailing_metadata()
            return error.code().name, dict(received), str(error.details())
    return "OK", {}, ""


def test_requests_take_no_more_memory_than_they_may(narrow: Server) -> None:
    with Wire(narrow.http) as unfinished, Wire(narrow.http) as other, Wire(narrow.http) as chunked:
        unfinished.send(head(900_000, "Expect: 100-continue"))
        assert unfinished.head().startswith(b"HTTP/1.1 100 Continue")
        with Wire(narrow.http) as wire:
            wire.send(head(600_000, "forebay-version: 1"))
            answer = wire.answer()
        assert (answer.status, answer.headers["x-forebay-retry"]) == (503, "memory-full")
        other.send(head(600_000))
        answer = other.answer()
        assert (answer.status, "x-forebay-retry" in answer.headers) == (503, False)
        assert "the request needs 0.6 MiB, but" in answer.json["error"]
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        chunked.send(b"POST /v2/models/open/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + 4 * chunk)
        assert chunked.answer().status == 503
        assert narrow.infer_json("add", ONES).status == 200
        code, metadata, details = grpc_status(narrow, 100_000, ("forebay-version", "1"))
        assert (code, metadata["x-forebay-retry"]) == ("UNAVAILABLE", "memory-full")
        assert "(--request-memory): try again later" in details
        assert grpc_status(narrow, 16)[0] == "OK"
    wait_for(lambda: grpc_status(narrow, 100_000)[0] == "OK", "what the client held is free when it is gone")
    assert grpc_status(narrow, MIB)[0] == "RESOURCE_EXHAUSTED"
    for _ in range(20):
        assert narrow.request("POST", "/v2/models/open/infer", bytes(400_000)).status == 500


def test_large_bodies_are_packed_and_unpacked(server: Server) -> None:
    values = np.arange(100_000, dtype=np.float32).reshape(1, -1)
    entry = {"name": "x", "datatype": "FP32", "shape": values.shape, "parameters": {"binary_data_size": values.nbytes}}
    description = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(description)), "Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    answer = server.request("POST", "/v2/models/open/infer", gzip.compress(description + values.tobytes()), headers)
    assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
    plain = gzip.decompress(answer.body)[int(answer.headers["inference-header-content-length"]) :]
    np.testing.assert_array_equal(np.frombuffer(plain, np.float32), values[0])
    unknown = server.request("POST", "/v2/models/nothing/infer", gzip.compress(b"{}"), {"Content-Encoding": "gzip"})
    assert unknown.status == 404
    broken = server.request("POST", "/v2/models/open/infer", b"no gzip", {"Content-Encoding": "gzip"})
    assert (broken.status, "is no gzip data" in broken.json["error"]) == (400, True)


class Large:
    """Answers everything with more than sockets buffer."""

    max_body_bytes = MIB
    closing = False

    def handle(self, exchange: Exchange) -> None:
        exchange.answer(HttpAnswer(200, (bytes(64 * MIB),)))


def test_a_client_that_stops_in_the_middle_is_let_go_and_its_memory_is_free() -> None:
    async def scenario() -> None:
        memory = RequestMemory(MIB)
        listeners = Listeners(memory, stall_s=0.05)
        port = await listeners.listen(Large(), "127.0.0.1", 0)
        try:
            for beginning in (b"POST / HT", head(1000), head(1000) + b"some of it"):
                await asyncio.to_thread(stop_after, port, beginning)
            assert memory.used_bytes == 0
        finally:
            listeners.close()

    asyncio.run(scenario())


def test_a_client_that_sends_a_byte_now_and_then_is_let_go() -> None:
    async def scenario() -> None:
        listeners = Listeners(RequestMemory(MIB), stall_s=0.5)
        port = await listeners.listen(Large(), "127.0.0.1", 0)
        try:
            for beginning in (b"POST / HT", head(100_000)):
                await asyncio.to_thread(drip_until_closed, port, beginning)
        finally:
            listeners.close()

    asyncio.run(scenario())


def drip_until_closed(port: int, beginning: bytes) -> None:
    """Send this, and a byte whenever nothing has come back for a while, until the server has had enough."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(0.1)
        connection.sendall(beginning)
        for _ in range(600):
            try:
                connection.sendall(b"x")
                assert connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                return
            else:
                return
        raise AssertionError("the server waits and waits")


def stop_after(port: int, beginning: bytes) -> None:
    """Send this and no more, and return once the server has closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(beginning)
        with suppress(ConnectionError):
            assert connection.recv(1) == b""


def test_a_client_that_takes_no_answer_is_let_go() -> None:
    async def scenario() -> None:
        listeners = Listeners(RequestMemory(MIB), stall_s=0.05)
        port = await listeners.listen(Large(), "127.0.0.1", 0)
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                # The first byte: the answer is on its way.
                await asyncio.to_thread(connection.recv, 1)
                async with asyncio.timeout(60):
                    while listeners.busy():  # noqa: ASYNC110 - nothing tells of it
                        await asyncio.sleep(0.01)
        finally:
            listeners.close()

    asyncio.run(scenario())
