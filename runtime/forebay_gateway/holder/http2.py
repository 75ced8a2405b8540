"""The server's side of HTTP/2 for gRPC, as much as the holder needs for its one client, our Envoy. No I/O.

A held request's body stays with the client: the stream's window is never given back, only the connection's, for the others.
What we send ourselves is a few hundred bytes per stream, far below the windows that our Envoy grants (4 and 16 MiB).
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import hpack
from hpack.exceptions import HPACKError

from forebay_gateway.holder.answers import Answer
from forebay_gateway.holder.calls import RequestHead
from forebay_gateway.holder.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    PREFACE,
    Frame,
    FrameError,
    FrameType,
    Setting,
    read_settings,
    reset,
    settings,
    take_frames,
    window_update,
)
from forebay_gateway.holder.http1 import LONGEST_HEAD, ProtocolError

_WIDE: Final = 1 << 30
_MOST_STREAMS: Final = 1 << 20
_UNESCAPED: Final = frozenset(string.printable.encode()) - frozenset(b"%\t\n\r\x0b\x0c")


@dataclass(frozen=True, slots=True)
class Opened:
    stream: int
    head: RequestHead


@dataclass(frozen=True, slots=True)
class Received:
    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """The client has given up a request."""

    stream: int


Event = Opened | Received | Closed


@dataclass(slots=True)
class _Block:
    """A header block in several frames."""

    stream: int
    ended: bool
    data: bytearray


class Http2Connection:
    def __init__(self) -> None:
        self._input = bytearray()
        self._output = bytearray()
        self._greeted = False
        self._decoder = hpack.Decoder(max_header_list_size=LONGEST_HEAD)
        self._encoder = hpack.Encoder()
        self._block: _Block | None = None
        self._ended: dict[int, bool] = {}
        """The open streams, and whether the client has sent all of its request."""
        self._write(settings({Setting.MAX_CONCURRENT_STREAMS: _MOST_STREAMS}), window_update(0, _WIDE))

    def receive(self, data: bytes) -> list[Event]:
        """What happened.

        Raises:
            ProtocolError: this is no HTTP/2; close the connection.
        """
        self._input += data
        if not self._greeted and not self._greet():
            return []
        events: list[Event] = []
        try:
            for frame in take_frames(self._input):
                events += self._handle(frame)
        except (FrameError, HPACKError) as error:
            raise ProtocolError(str(error)) from None
        return events

    def answer(self, stream: int, answer: Answer) -> None:
        """Answer a request and end its stream; nothing happens if the client has given it up."""
        ended = self._ended.pop(stream, None)
        if ended is None:
            return
        self._send(stream, answer)
        if not ended:
            # Code 0: the answer is complete, the rest of the request is not needed.
            self._write(reset(stream))

    def take_output(self) -> bytes:
        output = bytes(self._output)
        self._output.clear()
        return output

    def _greet(self) -> bool:
        if len(self._input) < len(PREFACE):
            return False
        if not self._input.startswith(PREFACE):
            raise ProtocolError("the connection does not begin with HTTP/2's preface")
        del self._input[: len(PREFACE)]
        self._greeted = True
        return True

    def _handle(self, frame: Frame) -> Sequence[Event]:
        if self._block and frame.type != FrameType.CONTINUATION:
            raise ProtocolError("a frame between those of a header block")
        match frame.type:
            case FrameType.HEADERS | FrameType.CONTINUATION:
                return self._on_headers(frame)
            case FrameType.DATA:
                return self._on_data(frame)
            case FrameType.RST_STREAM:
                return [Closed(frame.stream)] if self._ended.pop(frame.stream, None) is not None else []
            case FrameType.SETTINGS if not frame.has(ACK):
                self._on_settings(frame)
            case FrameType.PING if not frame.has(ACK):
                self._write(Frame(FrameType.PING, ACK, 0, frame.payload))
            case _:
                # Windows of ours, priorities, farewells: nothing to do.
                pass
        return []

    def _on_settings(self, frame: Frame) -> None:
        table_size = read_settings(frame).get(Setting.HEADER_TABLE_SIZE)
        if table_size is not None:
            self._encoder.header_table_size = table_size
        self._write(Frame(FrameType.SETTINGS, ACK, 0))

    def _on_headers(self, frame: Frame) -> Sequence[Event]:
        block = self._extend_block(frame)
        if not frame.has(END_HEADERS):
            return []
        self._block = None
        # Values may have any bytes from 0x80 on: the others on this connection must not suffer from one that has.
        decoded = self._decoder.decode(bytes(block.data), raw=True)
        fields = {bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in decoded}
        if block.stream in self._ended:
            # Trailers of a request.
            return self._receive(block.stream, b"", block.ended)
        self._ended[block.stream] = block.ended
        return [Opened(block.stream, _head(fields, block.ended))]

    def _extend_block(self, frame: Frame) -> _Block:
        if frame.type == FrameType.HEADERS:
            self._block = _Block(frame.stream, frame.has(END_STREAM), bytearray(frame.unpadded()))
        elif self._block is None or self._block.stream != frame.stream:
            raise ProtocolError("the continuation of no header block")
        else:
            self._block.data += frame.payload
        if len(self._block.data) > LONGEST_HEAD:
            raise ProtocolError("the request's head is too long")
        return self._block

    def _on_data(self, frame: Frame) -> Sequence[Event]:
        if frame.payload:
            self._write(window_update(0, len(frame.payload)))
        return self._receive(frame.stream, frame.unpadded(), frame.has(END_STREAM)) if frame.stream in self._ended else []

    def _receive(self, stream: int, data: bytes, ended: bool) -> Sequence[Event]:
        self._ended[stream] = self._ended[stream] or ended
        return [Received(stream, data, ended)]

    def _send(self, stream: int, answer: Answer) -> None:
        fields = [(":status", "200"), ("content-type", "application/grpc"), *answer.headers]
        trailers = [("grpc-status", str(int(answer.code)))]
        if answer.message is None:
            trailers.append(("grpc-message", escape(answer.error)))
            self._write_headers(stream, fields + trailers, END_STREAM)
            return
        self._write_headers(stream, fields, 0)
        message = b"\0" + len(answer.message).to_bytes(4, "big") + answer.message
        self._write(Frame(FrameType.DATA, 0, stream, message))
        self._write_headers(stream, trailers, END_STREAM)

    def _write_headers(self, stream: int, fields: list[tuple[str, str]], flags: int) -> None:
        self._write(Frame(FrameType.HEADERS, END_HEADERS | flags, stream, self._encoder.encode(fields)))

    def _write(self, *frames: Frame) -> None:
        for frame in frames:
            self._output += frame.encode()


def escape(message: str) -> str:
    """A text as `grpc-message` wants it: percent-encoded UTF-8 (gRPC over HTTP/2, "Status-Message")."""
    return "".join(chr(byte) if byte in _UNESCAPED else f"%{byte:02X}" for byte in message.encode())


def _head(fields: dict[str, str], ended: bool) -> RequestHead:
    return RequestHead(
        method=fields.get(":method", ""),
        path=fields.get(":path", ""),
        authority=fields.get(":authority", fields.get("host", "")),
        headers=fields,
        ended=ended,
    )
