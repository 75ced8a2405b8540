"""Requests that take long to read: they are read beside the server."""

import fcntl
import json
import os
import signal
import socket
import sys
import termios
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from forebay_runtime.protocol.triton_messages import service
from runtime_models import open_model, put_model, two_inputs_model
from runtime_servers import Server, requests_in_background, running_server, wait_for

ROWS = 60_000
ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}


def numbers(shape: list[int], data: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape, "data": data}]}


def test_large_json_is_answered_as_small_json_is(server: Server) -> None:
    values = (np.arange(ROWS * 2) % 1000 - 500).reshape(ROWS, 2)
    answer = server.infer_json("open", numbers([ROWS, 2], values.tolist()))
    assert answer.status == 200
    assert answer.json["outputs"][0]["data"] == np.abs(values).ravel().tolist()
    assert answer.json["outputs"][0]["shape"] == [ROWS, 2]


@pytest.mark.parametrize(
    ("shape", "data", "status", "message"),
    [
        ([ROWS, 2], [[1, 2]] * (ROWS - 1), 500, "Shape does not match true shape"),
        ([ROWS, 2], [1] * ROWS + ["x"] * ROWS, 500, "Unable to parse 'data'"),
        ([ROWS], [1] * ROWS, 400, "unexpected shape for input 'x'"),
    ],
    ids=["wrong shape", "text among numbers", "wrong rank"],
)
def test_large_json_is_refused_as_small_json_is(
    server: Server, shape: list[int], data: Any, status: int, message: str
) -> None:
    body = json.dumps(numbers(shape, data)) + " " * (1 << 18)
    answer = server.request("POST", "/v2/models/open/infer", body)
    assert (answer.status, message in answer.json["error"]) == (status, True), answer.json


def test_large_json_keeps_nobody_else_waiting(server: Server) -> None:
    data = numbers([1, 1 << 21], [1] * (1 << 21))
    with requests_in_background(server, "open", data, count=2) as answers:
        before_it = 0
        while not answers:
            assert server.infer_json("add", ONES).status == 200
            before_it += 1
    assert [answer.status for answer in answers] == [200, 200]
    assert before_it > 1


def test_large_typed_contents_are_read_as_small_ones_are(server: Server) -> None:
    request = service.ModelInferRequest(model_name="open")
    given = request.inputs.add(name="x", datatype="FP32", shape=[2, ROWS])
    given.contents.fp32_contents.extend([-2.0] * (2 * ROWS))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}", [("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer = service.ModelInferResponse.FromString(call(request.SerializeToString()))
        assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [2.0] * (2 * ROWS)
        given.shape[:] = [1, ROWS]
        with pytest.raises(grpc.RpcError, match="unexpected number of elements"):
            call(request.SerializeToString())


def test_a_reader_that_is_killed_is_replaced(server: Server) -> None:
    body = numbers([1, ROWS], [1.5] * ROWS)
    assert server.infer_json("open", body).status == 200
    for pid in readers(server):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.infer_json("open", body).status == 200, "another reader is there")


def readers(server: Server) -> list[int]:
    """The processes that threads of the server have started."""
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    found = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    assert all(b"forebay_runtime.protocol.reading" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found)
    assert found
    return found


def test_large_requests_of_clients_that_left_are_not_read(server: Server) -> None:
    text = json.dumps(numbers([ROWS, 2], [1.5] * (2 * ROWS)))
    assert server.request("POST", "/v2/models/open/infer", text).status == 200
    before = server.metric("nv_inference_count", model="open")
    with stopped(readers(server)):
        leave_after(server, f"POST /v2/models/open/infer HTTP/1.1\r\nContent-Length: {len(text)}\r\n\r\n{text}", count=3)
    assert server.request("POST", "/v2/models/open/infer", text).status == 200
    assert server.metric("nv_inference_count", model="open") == before + 1


def leave_after(server: Server, request: str, count: int) -> None:
    """Clients that send the request and leave; returns once the server has seen that."""
    clients = [socket.create_connection(("127.0.0.1", server.http)) for _ in range(count)]
    ports = [client.getsockname()[1] for client in clients]
    for client in clients:
        client.sendall(request.encode())
        client.close()
    wait_for(lambda: not open_connections(server.http, ports), "the server sees that its clients left")


def open_connections(port: int, peers: Sequence[int]) -> list[str]:
    """The rows of the kernel's table for sockets on the port that have not been closed."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = {(f"0100007F:{port:04X}", f"0100007F:{peer:04X}") for peer in peers}
    return [row[1] for row in rows if (row[1], row[2]) in ends and row[3] in ("01", "08")]


@contextmanager
def stopped(pids: Sequence[int]) -> Generator[None]:
    """Processes that stand still for the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_what_was_read_for_a_version_that_was_replaced_meanwhile_is_read_again(tmp_path: Path) -> None:
    put_model(tmp_path / "repository", "m", open_model())
    arguments = ("--model-repository", str(tmp_path / "repository"), "--model-control-mode=explicit", "--load-model=m")
    body = numbers([1, 2 * ROWS], [1.5] * (2 * ROWS))
    with running_server(tmp_path, *arguments) as server:
        wait_for(lambda: server.request("GET", "/v2/health/ready").status == 200, "the model is loaded")
        answer = server.infer_json("m", body)
        assert answer.status == 200, answer
        (reader,) = readers(server)
        with ExitStack() as stack, stopped([reader]):
            answers = stack.enter_context(requests_in_background(server, "m", body))
            wait_for(lambda: unread(reader) > 0, "the request is to be read")
            put_model(tmp_path / "repository", "m", two_inputs_model())
            assert server.request("POST", "/v2/repository/models/m/load").status == 200
        assert [answer.status for answer in answers] == [400]
        assert "expected 2 inputs but got 1 inputs for model 'm'" in answers[0].json["error"]


def unread(pid: int) -> int:
    """Bytes that wait at a process's standard input."""
    with Path(f"/proc/{pid}/fd/0").open("rb", buffering=0) as pipe:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
