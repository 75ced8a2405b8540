import struct
from typing import Any

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.holder.answers import LET_GO, READY, unknown_model
from forebay_gateway.holder.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    PADDED,
    PREFACE,
    PRIORITY,
    Frame,
    FrameError,
    FrameType,
    reset,
    settings,
    take_frames,
    window_update,
)
from forebay_gateway.holder.http1 import ProtocolError
from forebay_gateway.holder.http2 import Closed, Event, Http2Connection, Opened, Received, escape

FIELDS = [(":method", "POST"), (":path", "/x"), (":authority", "digits.team-a"), ("content-type", "application/grpc")]


class Client:
    """Envoy's side of a connection, with the frames that the holder's side has sent."""

    def __init__(self) -> None:
        self.server = Http2Connection()
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self.events(PREFACE + settings({}).encode())
        self.greeting = self.frames()

    def events(self, data: bytes) -> list[Event]:
        return self.server.receive(data)

    def frames(self) -> list[Frame]:
        return list(take_frames(bytearray(self.server.take_output())))

    def block(self) -> bytes:
        return bytes(self._encoder.encode(FIELDS))

    def open(self, stream: int = 1, flags: int = END_HEADERS) -> list[Event]:
        return self.events(Frame(FrameType.HEADERS, flags, stream, self.block()).encode())

    def fields(self, frame: Frame) -> dict[str, str]:
        return {str(name): str(value) for name, value in self._decoder.decode(frame.payload)}


@pytest.fixture
def client() -> Client:
    return Client()


def only_head(events: list[Event]) -> Any:
    [event] = events
    assert isinstance(event, Opened)
    return event.head


def test_a_connection_is_greeted_with_our_settings_and_the_client_s_are_acknowledged(client: Client) -> None:
    assert [(frame.type, frame.flags) for frame in client.greeting] == [
        (FrameType.SETTINGS, 0),
        (FrameType.WINDOW_UPDATE, 0),
        (FrameType.SETTINGS, ACK),
    ]


def test_a_request_opens_a_stream(client: Client) -> None:
    head = only_head(client.open())
    assert (head.method, head.path, head.authority, head.ended) == ("POST", "/x", "digits.team-a", False)
    assert only_head(client.open(3, END_HEADERS | END_STREAM)).ended


def test_frames_may_come_in_pieces(client: Client) -> None:
    data = Frame(FrameType.HEADERS, END_HEADERS, 1, client.block()).encode()
    events = [event for byte in data for event in client.events(bytes([byte]))]
    assert only_head(events).path == "/x"


def test_a_header_block_may_come_in_several_frames(client: Client) -> None:
    block = client.block()
    assert client.events(Frame(FrameType.HEADERS, 0, 1, block[:5]).encode()) == []
    assert only_head(client.events(Frame(FrameType.CONTINUATION, END_HEADERS, 1, block[5:]).encode())).path == "/x"


def test_padding_and_priority_are_taken_off(client: Client) -> None:
    payload = bytes([3]) + b"\0\0\0\0\x10" + client.block() + b"\0\0\0"
    assert (
        only_head(client.events(Frame(FrameType.HEADERS, END_HEADERS | PADDED | PRIORITY, 1, payload).encode())).path == "/x"
    )


def test_data_gives_back_the_connection_s_window_and_never_the_stream_s(client: Client) -> None:
    client.open()
    assert client.events(Frame(FrameType.DATA, 0, 1, b"abc").encode()) == [Received(1, b"abc", False)]
    assert client.frames() == [window_update(0, 3)]


def test_the_end_of_a_request_is_told_also_by_trailers(client: Client) -> None:
    client.open()
    assert client.events(Frame(FrameType.DATA, END_STREAM, 1, b"").encode()) == [Received(1, b"", True)]
    client.open(3)
    assert client.open(3, END_HEADERS | END_STREAM) == [Received(3, b"", True)]


def test_letting_go_is_headers_alone_and_then_a_reset_without_error(client: Client) -> None:
    client.open()
    client.server.answer(1, LET_GO)
    headers, end = client.frames()
    assert headers.has(END_STREAM)
    assert client.fields(headers) == {
        ":status": "200",
        "content-type": "application/grpc",
        "x-forebay-retry": "held",
        "grpc-status": "14",
        "grpc-message": "",
    }
    assert end == reset(1)


def test_a_complete_request_is_answered_without_a_reset(client: Client) -> None:
    client.open(1, END_HEADERS | END_STREAM)
    client.server.answer(1, unknown_model("x"))
    [headers] = client.frames()
    fields = client.fields(headers)
    assert (fields["grpc-status"], fields["grpc-message"]) == ("5", "Request for unknown model: 'x' is not found")


def test_a_message_is_answered_with_headers_data_and_trailers(client: Client) -> None:
    client.open(1, END_HEADERS | END_STREAM)
    client.server.answer(1, READY)
    headers, data, trailers = client.frames()
    assert client.fields(headers)[":status"] == "200"
    assert data.payload == b"\0" + struct.pack(">I", 2) + b"\x08\x01"
    assert client.fields(trailers) == {"grpc-status": "0"}
    assert trailers.has(END_STREAM)


def test_a_request_that_was_given_up_is_told_once_and_not_answered(client: Client) -> None:
    client.open()
    assert client.events(reset(1, 8).encode()) == [Closed(1)]
    assert client.events(reset(1, 8).encode()) == []
    client.server.answer(1, READY)
    assert client.frames() == []


def test_pings_are_answered(client: Client) -> None:
    client.events(Frame(FrameType.PING, 0, 0, b"12345678").encode())
    assert client.frames() == [Frame(FrameType.PING, ACK, 0, b"12345678")]


@pytest.mark.parametrize(
    "data",
    [
        Frame(FrameType.CONTINUATION, END_HEADERS, 1, b"").encode(),
        Frame(FrameType.HEADERS, 0, 1, b"").encode() + Frame(FrameType.DATA, 0, 1, b"").encode(),
        Frame(FrameType.HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff").encode(),
        Frame(FrameType.HEADERS, END_HEADERS | PADDED, 1, b"\x09").encode(),
        Frame(FrameType.SETTINGS, 0, 0, b"12345").encode(),
        b"\xff\xff\xff\0\0\0\0\0\1",
    ],
    ids=["continuation of nothing", "in between", "no hpack", "padding", "settings", "too large"],
)
def test_what_breaks_the_protocol_ends_the_connection(client: Client, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        client.events(data)


def test_another_protocol_is_refused() -> None:
    with pytest.raises(ProtocolError, match="preface"):
        Http2Connection().receive(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_taken_or_refused(data: bytes) -> None:
    client = Client()
    try:
        client.events(data)
    except ProtocolError:
        return


@given(st.lists(st.builds(Frame, st.integers(0, 12), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=50))))
def test_frames_survive_their_encoding(frames: list[Frame]) -> None:
    assert list(take_frames(bytearray(b"".join(frame.encode() for frame in frames)))) == frames


def test_a_frame_s_padding_cannot_be_longer_than_it_is() -> None:
    with pytest.raises(FrameError):
        Frame(FrameType.DATA, PADDED, 1, b"\x05abc").unpadded()


def test_a_message_for_people_is_escaped_as_grpc_wants_it() -> None:
    assert escape("50% für 'x'\n") == "50%25 f%C3%BCr 'x'%0A"
