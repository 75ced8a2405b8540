"""Just enough of protobuf's wire form to keep tensors out of protobuf: a message of megabytes is cut, not parsed."""

from collections.abc import Sequence
from typing import Final

from forebay_runtime.protocol.errors import InvalidArgumentError

_RAW_INPUT: Final = 7
_RAW_OUTPUT_TAG: Final = b"\x32"
_LENGTH_DELIMITED: Final = 2
_MORE: Final = 0x80
_LONGEST_VARINT_BITS: Final = 63
_MOST_FIELDS: Final = 10_000
"""Inputs, outputs, parameters and raw tensors together: each costs time here."""


def split_request(message: bytes) -> tuple[bytes, list[memoryview]]:
    """Cut a ModelInferRequest into all but its `raw_input_contents`, and those.

    Raises:
        InvalidArgumentError: it is no protobuf message, or has too many fields.
    """
    view = memoryview(message)
    described: list[memoryview] = []
    raws: list[memoryview] = []
    position, end, count = 0, len(message), 0
    while position < end:
        count += 1
        if count > _MOST_FIELDS:
            raise InvalidArgumentError(f"the request has more than {_MOST_FIELDS} inputs, outputs, parameters and tensors")
        number, content, next_ = _field(message, position)
        if next_ > end:
            raise _truncated()
        if number == _RAW_INPUT:
            raws.append(view[content:next_])
        else:
            described.append(view[position:next_])
        position = next_
    return b"".join(described), raws


def _field(message: bytes, start: int) -> tuple[int, int, int]:
    """The number of the field at `start`, where its content begins, and where the next field does."""
    try:
        tag, position = _varint(message, start)
        match tag & 7:
            case 2:
                length, position = _varint(message, position)
                return tag >> 3, position, position + length
            case 0:
                return tag >> 3, position, _varint(message, position)[1]
            case 1:
                return tag >> 3, position, position + 8
            case 5:
                return tag >> 3, position, position + 4
            case _:
                raise _truncated()
    except IndexError:
        raise _truncated() from None


def _truncated() -> InvalidArgumentError:
    return InvalidArgumentError("the request is no ModelInferRequest: it ends within a field, or is no protobuf message")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    position += 1
    if byte < _MORE:
        return byte, position
    value, shift = byte & 0x7F, 7
    while byte >= _MORE:
        if shift > _LONGEST_VARINT_BITS:
            raise _truncated()
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, position


def join_response(description: bytes, raws: Sequence[bytes | memoryview]) -> bytes:
    """A ModelInferResponse: `description` with these `raw_output_contents` behind it."""
    parts: list[bytes | memoryview] = [description]
    for raw in raws:
        parts += (_RAW_OUTPUT_TAG, varint(len(raw)), raw)
    return b"".join(parts)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(content)) + content


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value & 0x7F | _MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
