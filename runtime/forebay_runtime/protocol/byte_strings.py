"""BYTES tensors: each element is its length (uint32, little-endian) and its bytes."""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from forebay_runtime.protocol.errors import InvalidArgumentError

_LENGTH = struct.Struct("<I")


def unpack(data: memoryview, count: int, input_name: str) -> npt.NDArray[Any]:
    """The `count` elements of a BYTES tensor, as a flat array of text.

    Raises:
        InvalidArgumentError: the lengths do not add up to the data, or an element is no UTF-8.
    """
    if count * _LENGTH.size > len(data):
        # Before the array is made: a client may claim any number of elements.
        raise InvalidArgumentError(
            f"incorrect number of elements in BYTES input '{input_name}': expecting {count}, but {len(data)} bytes hold"
            f" {len(data) // _LENGTH.size} at most"
        )
    elements = np.empty(count, dtype=object)
    offset = 0
    for index in range(count):
        if offset + 4 > len(data):
            raise InvalidArgumentError(
                f"incorrect number of elements in BYTES input '{input_name}': expecting {count}, the data ends after {index}"
            )
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += 4
        if length > len(data) - offset:
            raise InvalidArgumentError(
                f"element {index} of BYTES input '{input_name}' has a length of {length} bytes,"
                f" {len(data) - offset} bytes are left"
            )
        elements[index] = text(bytes(data[offset : offset + length]), input_name)
        offset += length
    if offset != len(data):
        raise InvalidArgumentError(f"BYTES input '{input_name}' has {len(data) - offset} bytes after its {count} elements")
    return elements


def pack(elements: npt.NDArray[Any]) -> bytes:
    """The wire form of an array of text or bytes, row by row."""
    parts: list[bytes] = []
    for element in elements.ravel():
        data = element if isinstance(element, bytes) else str(element).encode()
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def text(data: bytes, input_name: str) -> str:
    """onnxruntime takes strings as UTF-8 only."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"an element of BYTES input '{input_name}' is not UTF-8: {error}") from None
