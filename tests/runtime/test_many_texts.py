"""Tensors of so much text that it is read and written in threads: as little text is, while others are answered."""

import json
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from forebay_runtime.protocol.inference import MANY_TEXTS
from forebay_runtime.protocol.triton_messages import service
from runtime_models import put_model, repeated_text_model
from runtime_servers import Answer, Server, Wire, running_server, wait_for

MORE = MANY_TEXTS + 1
MOST = 1 << 21
"""Elements that take a second or more to cut apart, or to join."""
NOT_UTF8 = b"\xff"


@pytest.fixture
def repeating(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, whose model has more text in its answer than in its request."""
    put_model(tmp_path / "repository", "repeated", repeated_text_model())
    with running_server(tmp_path, "--model-repository", str(tmp_path / "repository")) as running:
        wait_for(lambda: running.request("GET", "/v2/health/ready").status == 200, "the model is loaded")
        yield running


def packed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def texts(data: bytes, count: int, output: str = "same") -> tuple[dict[str, str], bytes]:
    """Header fields and body of a request of this text, that wants its answer in binary form."""
    given = {"name": "text", "datatype": "BYTES", "shape": [1, count], "parameters": {"binary_data_size": len(data)}}
    description = {"inputs": [given], "outputs": [{"name": output, "parameters": {"binary_data": True}}]}
    text = json.dumps(description).encode()
    return {"Inference-Header-Content-Length": str(len(text))}, text + data


def infer(server: Server, data: bytes, count: int) -> Answer:
    fields, body = texts(data, count)
    return server.request("POST", "/v2/models/texts/infer", body, fields)


def message(data: bytes, count: int) -> bytes:
    request = service.ModelInferRequest(model_name="texts", raw_input_contents=[data])
    request.inputs.add(name="text", datatype="BYTES", shape=[1, count])
    return bytes(request.SerializeToString())


@pytest.mark.parametrize("count", [MANY_TEXTS, MORE])
def test_text_comes_back_whether_it_is_read_in_a_thread_or_not(server: Server, count: int) -> None:
    data = packed(*(str(number).encode() for number in range(count)))
    answer = infer(server, data, count)
    assert (answer.status, answer.body.endswith(data)) == (200, True)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        answered = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(message(data, count))
    assert service.ModelInferResponse.FromString(answered).raw_output_contents[0] == data


@pytest.mark.parametrize("count", [2, MORE], ids=["few", "many"])
@pytest.mark.parametrize(
    ("last", "said"),
    [
        (packed(NOT_UTF8), "an element of BYTES input 'text' is not UTF-8"),
        (b"\x09\x00\x00\x00a", "of BYTES input 'text' has a length of 9 bytes, 1 bytes are left"),
        (b"", "incorrect number of elements in BYTES input 'text'"),
    ],
    ids=["not UTF-8", "a length that lies", "one too few"],
)
def test_wrong_text_is_named_whether_it_is_read_in_a_thread_or_not(server: Server, count: int, last: bytes, said: str) -> None:
    data = packed(*[b"a"] * (count - 1)) + last
    refused = infer(server, data, count)
    assert (refused.status, said in refused.json["error"]) == (400, True), refused.json
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT") as failed:
            call(message(data, count))
    assert said in str(failed.value)
    assert infer(server, packed(b"a"), 1).status == 200


def test_others_are_answered_while_much_text_is_read(server: Server) -> None:
    # The last element is wrong, so that the answer comes as soon as all of it has been read.
    fields, body = texts(packed(*[b"a"] * (MOST - 1), NOT_UTF8), MOST)
    with ExitStack() as stack:
        large, small = (stack.enter_context(socket.create_connection(("127.0.0.1", server.http), 60)) for _ in range(2))
        large.sendall(request("texts", fields, len(body)) + body[:-1])
        wait_for(lambda: not is_under_way(large), "all but the last byte has been received")
        large.sendall(body[-1:])
        small.sendall(b"GET /v2/models/texts/ready HTTP/1.1\r\nHost: h\r\n\r\n")
        assert small.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert not is_answered(large)
        assert b"is not UTF-8" in large.recv(1 << 16)


def test_others_are_answered_while_much_text_is_written(repeating: Server) -> None:
    fields, body = texts(packed(b"a"), 1, "repeated")
    with Wire(repeating.http) as small, socket.create_connection(("127.0.0.1", repeating.http), 60) as large:
        large.sendall(request("repeated", fields, len(body)) + body)
        wait_for(lambda: repeating.metric("nv_inference_count", model="repeated") >= 1, "the model has run")
        small.send(b"GET /v2/models/repeated/ready HTTP/1.1\r\nHost: h\r\n\r\n")
        assert small.answer().status == 200
        assert not is_answered(large)
        assert large.recv(1 << 16).startswith(b"HTTP/1.1 200")


def request(model: str, fields: dict[str, str], size: int) -> bytes:
    lines = (f"POST /v2/models/{model}/infer HTTP/1.1", "Host: h", f"Content-Length: {size}")
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode()


def is_under_way(client: socket.socket) -> bool:
    """Whether something that the client has sent was not yet taken out of the server's socket, by the kernel's table."""
    ends = [f"0100007F:{end[1]:04X}" for end in (client.getsockname(), client.getpeername())]
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    waiting = {(row[1], row[2]): row[4].split(":") for row in rows}
    unsent, unread = waiting[ends[0], ends[1]][0], waiting[ends[1], ends[0]][1]
    return int(unsent, 16) + int(unread, 16) > 0


def is_answered(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])
