"""Clients that keep to no protocol: bytes for HTTP/1.1, frames for HTTP/2."""

import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

import hpack

from forebay_gateway.holder.frames import END_HEADERS, END_STREAM, PREFACE, Frame, FrameType, reset, settings
from gateway_processes import PATIENCE_S

Fields = Sequence[tuple[bytes, bytes]]
INFER_RPC = b"/inference.GRPCInferenceService/ModelInfer"


@contextmanager
def plain(port: int) -> Generator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as channel:
        yield channel


def answer_to(port: int, *lines: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of what is answered to a head of these lines; the connection is closed then."""
    with plain(port) as channel:
        channel.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return read_answer(channel)


def read_answer(channel: socket.socket) -> tuple[int, bytes]:
    """The next answer that has a content-length, which all of ours have."""
    stream = channel.makefile("rb")
    status = int(stream.readline().split(b" ")[1])
    length = 0
    while (line := stream.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return status, stream.read(length)


def grpc_head(authority: str, *more: tuple[bytes, bytes]) -> Fields:
    return (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", INFER_RPC),
        (b":authority", authority.encode()),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *more,
    )


class Http2Client:
    """Sends whatever frames it is told to."""

    def __init__(self, port: int) -> None:
        self._channel = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._encoder = hpack.Encoder()
        self.send_bytes(PREFACE + settings({}).encode())

    @classmethod
    @contextmanager
    def connected(cls, port: int) -> "Generator[Http2Client]":
        client = cls(port)
        try:
            yield client
        finally:
            client.close()

    def send_bytes(self, data: bytes) -> None:
        # The other side may have had enough.
        with suppress(OSError):
            self._channel.sendall(data)

    def send(self, *frames: Frame) -> None:
        self.send_bytes(b"".join(frame.encode() for frame in frames))

    def head(self, stream: int, fields: Fields, *, ended: bool = True) -> Frame:
        flags = END_HEADERS | (END_STREAM if ended else 0)
        return Frame(FrameType.HEADERS, flags, stream, self._encoder.encode(list(fields)))

    def ask(self, stream: int, fields: Fields, *, ended: bool = True) -> None:
        self.send(self.head(stream, fields, ended=ended))

    def give_up(self, *streams: int) -> None:
        self.send(*(reset(stream, 8) for stream in streams))

    def close(self) -> None:
        self._channel.close()
