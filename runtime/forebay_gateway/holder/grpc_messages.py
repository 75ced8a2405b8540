"""The little that the holder reads of gRPC messages."""

_PREFIX = 5


def message_size(start: bytes) -> int | None:
    """Bytes of the message that a request's body starts with, its prefix included; None if too little has come."""
    return _PREFIX + int.from_bytes(start[1:_PREFIX], "big") if len(start) >= _PREFIX else None


def first_string(body: bytes) -> str:
    """The string in field 1 of an uncompressed message: the model's name in Triton's requests; empty if there is none.

    Protobuf writes fields in the order of their numbers, so it comes first.
    """
    message = body[_PREFIX:]
    if not message.startswith(b"\x0a"):
        return ""
    length, start = _varint(message, 1)
    return message[start : start + length].decode(errors="replace")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at this place, and the place behind it."""
    value = shift = 0
    for index in range(at, len(data)):
        value |= (data[index] & 0x7F) << shift
        shift += 7
        if data[index] < 0x80:  # noqa: PLR2004  (the bit that says there is more)
            return value, index + 1
    return 0, len(data)
