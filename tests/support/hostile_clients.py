"""Clients that mean no good, each as something to do again and again until it is over."""

import gzip
import json
import socket
import struct
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final

import hpack

from forebay_gateway.holder.frames import END_HEADERS, PREFACE, Frame, FrameType, reset, settings
from forebay_runtime.protocol.triton_messages import service

_BOMB: Final = gzip.compress(bytes(200 << 20), 9)
_DEEP: Final = b"[" * 1_000_000
_DIGITS: Final = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,16],"data":[' + b"9" * 1_000_000 + b"]}]}"
_WIDE: Final = b'{"inputs":[' + b",".join([b'{"name":"x"}'] * 80_000) + b"]}"
_SMUGGLED: Final = b"POST /v2/models/other/infer HTTP/1.1\r\nHost: m.default\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Place:
    """Where a model is served, and under which name."""

    http: int
    grpc: int
    host: str
    model: str

    def head(self, *fields: str, path: str = "") -> bytes:
        lines = (f"POST {path or f'/v2/models/{self.model}/infer'} HTTP/1.1", f"Host: {self.host}", *fields, "", "")
        return "\r\n".join(lines).encode("latin-1")

    def post(self, body: bytes, *fields: str) -> bytes:
        return self.head(f"Content-Length: {len(body)}", *fields) + body


Attack = Callable[[Place, Event], None]


def _again(port: Callable[[Place], int], data: Callable[[Place], bytes]) -> Attack:
    """Send this on a new connection, take what comes, and do it again."""

    def attack(place: Place, over: Event) -> None:
        content = data(place)
        while not over.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port(place)), timeout=PATIENCE_S) as connection:
                connection.sendall(content)
                connection.recv(1 << 16)

    return attack


def _http(data: Callable[[Place], bytes]) -> Attack:
    return _again(lambda place: place.http, data)


def _grpc_frames(*frames: Frame) -> Callable[[Place], bytes]:
    return lambda place: PREFACE + settings({}).encode() + _rpc(place, 1) + b"".join(frame.encode() for frame in frames)


def _rpc(place: Place, stream: int) -> bytes:
    fields = [
        *((":method", "POST"), (":scheme", "http"), (":path", "/inference.GRPCInferenceService/ModelInfer")),
        *((":authority", place.host), ("content-type", "application/grpc"), ("te", "trailers")),
    ]
    return Frame(FrameType.HEADERS, END_HEADERS, stream, hpack.Encoder().encode(fields)).encode()


def _resets(place: Place) -> bytes:
    """Streams that are opened and given up at once: as many as one write holds."""
    opened = [_rpc(place, stream) + reset(stream, 8).encode() for stream in range(1, 2000, 2)]
    return PREFACE + settings({}).encode() + b"".join(opened)


def _silent(place: Place, over: Event) -> None:
    """512 gRPC calls every two seconds that say nothing; those of before stay as long as the server lets them."""
    with ExitStack() as stack:
        while not over.is_set():
            with suppress(OSError):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", place.grpc), timeout=PATIENCE_S))
                connection.sendall(PREFACE + settings({}).encode() + b"".join(_rpc(place, 2 * n + 1) for n in range(512)))
            over.wait(2.0)


def _drip(place: Place, over: Event) -> None:
    """200 connections that send a byte of a head each second."""
    with ExitStack() as stack:
        drips: list[socket.socket] = []
        for _ in range(200):
            with suppress(OSError):
                drips.append(stack.enter_context(socket.create_connection(("127.0.0.1", place.http), timeout=PATIENCE_S)))
        while not over.wait(1.0):
            for drip in drips:
                with suppress(OSError):
                    drip.send(b"x")


def _unread(place: Place, over: Event) -> None:
    """Requests one after the other, of which no answer is taken."""
    while not over.is_set():
        with suppress(OSError), socket.create_connection(("127.0.0.1", place.http)) as connection:
            connection.settimeout(0.5)
            request = b"GET /v2/models/stats HTTP/1.1\r\nHost: " + place.host.encode() + b"\r\n\r\n"
            while not over.is_set():
                connection.sendall(request * 100)


ATTACKS: Final[dict[str, Attack]] = {
    "malformed heads": _http(lambda place: b"\x00\xff GET\r\nno colon\r\n\r\n" + place.head()),
    "truncated requests": _http(lambda place: place.head("Content-Length: 1000") + b"{" * 10),
    "headers of 1 MB": _http(lambda place: place.head(*(f"X-{number}: {'y' * 1000}" for number in range(1000)))),
    "a body that claims 1 TB": _http(lambda place: place.head(f"Content-Length: {1 << 40}")),
    "CL.TE": _http(lambda place: place.head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + _SMUGGLED),
    "TE.CL": _http(
        lambda place: place.head("Transfer-Encoding: chunked", "Content-Length: 4") + b"5c\r\n" + _SMUGGLED + b"\r\n0\r\n\r\n"
    ),
    "two lengths": _http(lambda place: place.head("Content-Length: 2", "Content-Length: 90") + b"{}" + _SMUGGLED),
    "gzip bombs": _http(lambda place: place.post(_BOMB, "Content-Encoding: gzip")),
    "JSON depth": _http(lambda place: place.post(_DEEP)),
    "JSON digits": _http(lambda place: place.post(_DIGITS)),
    "JSON width": _http(lambda place: place.post(_WIDE)),
    "odd names": _http(lambda place: place.head("Content-Length: 0", path="/v2/models/..%2f\xe4%00/versions/\xb2/infer")),
    "slow heads": _drip,
    "answers not taken": _unread,
    "gRPC calls that say nothing": _silent,
    "gRPC resets": _again(lambda place: place.grpc, _resets),
    "gRPC sizes that lie": _again(
        lambda place: place.grpc,
        _grpc_frames(Frame(FrameType.DATA, 1, 1, b"\x00" + struct.pack(">I", (1 << 31) - 1) + b"abc")),
    ),
    "pings": _again(
        lambda place: place.grpc,
        lambda _: PREFACE + settings({}).encode() + Frame(FrameType.PING, 0, 0, bytes(8)).encode() * 5000,
    ),
}


@contextmanager
def under_attack(attack: Attack, place: Place, threads: int) -> Generator[None]:
    over = Event()
    attackers = [Thread(target=attack, args=(place, over)) for _ in range(threads)]
    for attacker in attackers:
        attacker.start()
    try:
        yield
    finally:
        over.set()
        for attacker in attackers:
            attacker.join()


@contextmanager
def idle_connections(port: int, count: int) -> Generator[int]:
    """Connections that say nothing; how many there are: fewer where descriptors end."""
    with ExitStack() as stack:
        made = 0
        with suppress(OSError):
            for _ in range(count):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
                made += 1
        yield made


def infer_message(model: str, width: int) -> bytes:
    """The same by gRPC."""
    request = service.ModelInferRequest(model_name=model, raw_input_contents=[struct.pack(f"<{width}f", *[1.0] * width)])
    request.inputs.add(name="x", datatype="FP32", shape=[1, width])
    return bytes(request.SerializeToString())


def ones(width: int) -> bytes:
    """A request of its model's width."""
    content: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, width], "data": [1.0] * width}
    return json.dumps({"inputs": [content]}).encode()
