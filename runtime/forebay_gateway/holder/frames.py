"""HTTP/2 frames (RFC 9113, sections 4 and 6)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_FRAME: Final = 16384
"""Bytes of payload: the protocol's default, which we do not raise."""
_HEADER: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20


class FrameType(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    MAX_CONCURRENT_STREAMS = 3


class FrameError(ValueError):
    """Bytes that are no frames: the connection is closed."""


@dataclass(frozen=True, slots=True)
class Frame:
    type: int
    flags: int
    stream: int
    payload: bytes = b""

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)

    def encode(self) -> bytes:
        return (
            struct.pack(">I", len(self.payload))[1:] + struct.pack(">BBI", self.type, self.flags, self.stream) + self.payload
        )

    def unpadded(self) -> bytes:
        """The payload of DATA or HEADERS without padding and priority.

        Raises:
            FrameError: the padding is longer than the frame.
        """
        payload = self.payload
        if self.has(PADDED):
            padding = payload[0] if payload else 0
            if padding >= len(payload):
                raise FrameError("padding is longer than its frame")
            payload = payload[1 : len(payload) - padding]
        return payload[5:] if self.type == FrameType.HEADERS and self.has(PRIORITY) else payload


def take_frames(buffer: bytearray) -> Iterator[Frame]:
    """Take the complete frames off the front of a buffer.

    Raises:
        FrameError: a frame is larger than we allow.
    """
    while len(buffer) >= _HEADER:
        length = int.from_bytes(buffer[:3], "big")
        if length > LARGEST_FRAME:
            raise FrameError(f"a frame of {length} bytes, at most {LARGEST_FRAME} were agreed")
        if len(buffer) < _HEADER + length:
            return
        frame_type, flags, stream = struct.unpack(">BBI", buffer[3:_HEADER])
        payload = bytes(buffer[_HEADER : _HEADER + length])
        del buffer[: _HEADER + length]
        yield Frame(frame_type, flags, stream & 0x7FFFFFFF, payload)


def settings(values: dict[int, int]) -> Frame:
    payload = b"".join(struct.pack(">HI", key, value) for key, value in values.items())
    return Frame(FrameType.SETTINGS, 0, 0, payload)


def window_update(stream: int, increment: int) -> Frame:
    return Frame(FrameType.WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream: int, code: int = 0) -> Frame:
    return Frame(FrameType.RST_STREAM, 0, stream, struct.pack(">I", code))


def read_settings(frame: Frame) -> dict[int, int]:
    """The values of a SETTINGS frame.

    Raises:
        FrameError: its length is not a whole number of settings.
    """
    if len(frame.payload) % 6:
        raise FrameError("a SETTINGS frame of a wrong length")
    return dict(struct.iter_unpack(">HI", frame.payload))
