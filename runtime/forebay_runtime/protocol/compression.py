"""Compressed bodies of HTTP: gzip and deflate, bounded in size."""

import zlib
from collections.abc import Sequence
from typing import Final, Literal

from forebay_runtime.protocol.errors import InvalidArgumentError, UnsupportedError

Coding = Literal["gzip", "deflate"]

ACCEPTED: Final = "gzip, deflate"
_WBITS: Final[dict[str, int]] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_LEVEL: Final = 1


def decompress(body: memoryview, coding: str, max_bytes: int) -> memoryview:
    """The body as it was before `coding` (a Content-Encoding).

    Raises:
        UnsupportedError: the coding is neither gzip nor deflate.
        InvalidArgumentError: the body is no such data, or more than `max_bytes` of it.
    """
    if coding in ("", "identity"):
        return body
    if coding not in _WBITS:
        raise UnsupportedError("Unsupported compression type")
    inflater = zlib.decompressobj(_WBITS[coding])
    try:
        plain = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidArgumentError(f"the request body is no {coding} data: {error}") from None
    if len(plain) > max_bytes:
        raise too_large(max_bytes, "Decompressed request body")
    if not inflater.eof or inflater.unused_data:
        raise InvalidArgumentError(f"the request body is no complete {coding} data")
    return memoryview(plain)


def too_large(max_bytes: int, what: str = "Request body") -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{what} exceeds the maximum allowed input size of {max_bytes} bytes. Use --http-max-input-size to increase the limit."
    )


def chosen(accept_encoding: str) -> Coding | None:
    """The coding of the answer: the accepted one with the highest weight, gzip where they are equal."""
    weights = {"gzip": 0.0, "deflate": 0.0}
    for item in accept_encoding.lower().split(","):
        name, _, parameter = item.partition(";")
        if name.strip() in weights:
            weights[name.strip()] = _weight(parameter)
    if not any(weights.values()):
        return None
    return "gzip" if weights["gzip"] >= weights["deflate"] else "deflate"


def _weight(parameter: str) -> float:
    key, _, value = parameter.strip().partition("=")
    if key != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def compress(parts: Sequence[bytes | memoryview], coding: Coding) -> bytes:
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS[coding])
    return b"".join([*(deflater.compress(part) for part in parts), deflater.flush()])
