"""Tensors as JSON lists."""

import json
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from forebay_runtime.protocol.datatypes import BYTES, Datatype
from forebay_runtime.protocol.errors import InternalError, InvalidArgumentError

Array = npt.NDArray[Any]

_PIECE: Final = 1 << 16
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}
"""Which kinds of numbers may stand for which kind of datatype."""


def array_of(data: Any, datatype: Datatype, shape: tuple[int, ...], name: str) -> Array:
    """The array that a (nested or flat) JSON list describes.

    Raises:
        InternalError: it does not hold what the shape and datatype say (500, as in Triton).
        InvalidArgumentError: the datatype has no JSON form, or a number does not fit the datatype.
    """
    if not datatype.in_json:
        raise InvalidArgumentError(
            f"receiving {datatype.name} data via JSON is not supported. Please use the binary data format for input {name}"
        )
    if not isinstance(data, list):
        raise InternalError("Unable to parse 'data': attempt to access JSON non-array as array")
    elements: list[Any] = data
    if len(elements) > max(1, prod(shape)):
        # Lists of wrong lengths are not looked at any further: numpy would take long.
        raise _wrong_shape()
    flat = _strings(elements) if datatype is BYTES else _numbers(elements, datatype, name)
    if flat.size != prod(shape):
        raise _wrong_shape()
    return flat.reshape(shape)


def _wrong_shape() -> InternalError:
    return InternalError("Unable to parse 'data': Shape does not match true shape of 'data' field")


def _numbers(data: list[Any], datatype: Datatype, name: str) -> Array:
    try:
        values = _array(data, datatype)
    except (ValueError, OverflowError):
        raise _wrong_shape() from None
    if values.dtype.kind not in _KINDS[datatype.dtype.kind]:
        raise InternalError(f"Unable to parse 'data': expected {datatype.name} values for input '{name}'")
    if datatype.dtype.kind in "iu" and values.size:
        limits = np.iinfo(datatype.dtype)
        if values.min() < limits.min or values.max() > limits.max:
            raise InvalidArgumentError(f"input '{name}' holds values outside of {datatype.name}: {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values.astype(datatype.dtype, copy=False))


def _array(data: list[Any], datatype: Datatype) -> Array:
    if not data:
        return np.empty(0, datatype.dtype)
    values = np.array(data)
    if datatype.name == "UINT64" and values.dtype.kind == "f":
        # numpy takes integers on both sides of 2**63 for floats; as objects they stay what they are.
        exact = np.array(data, dtype=object)
        if all(isinstance(value, int) for value in exact.flat) and 0 <= exact.min() <= exact.max() < 1 << 64:
            return exact.astype(np.uint64)
    return values


def _strings(data: list[Any]) -> Array:
    try:
        elements = np.array(data, dtype=object)
    except ValueError:
        raise _wrong_shape() from None
    if not all(isinstance(element, str) for element in elements.ravel()):
        raise InternalError("Unable to parse JSON bytes array: attempt to access JSON non-string as string")
    return elements


def list_of(array: Array, datatype: Datatype) -> bytes:
    """A tensor as a flat JSON list, row by row.

    Raises:
        InvalidArgumentError: the datatype has no JSON form.
    """
    if not datatype.in_json:
        raise InvalidArgumentError(
            f"sending {datatype.name} data via JSON is not supported. Please use the binary data format for output"
        )
    flat = np.ascontiguousarray(array).ravel()
    if datatype is BYTES:
        return orjson.dumps([_text(element) for element in flat])
    return b"[" + b",".join(_numbers_of(piece) for piece in _pieces(flat)) + b"]"


def _pieces(flat: Array) -> list[Array]:
    """So small that writing one holds up other threads for no longer than a moment; one, where nothing is to be written."""
    return [flat[start : start + _PIECE] for start in range(0, max(1, flat.size), _PIECE)]


def _numbers_of(flat: Array) -> bytes:
    """Without the brackets."""
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        # orjson would write null; clients read NaN and Infinity as Triton writes them.
        return json.dumps(flat.tolist()).encode()[1:-1]
    return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def _text(element: Any) -> str:
    return element.decode(errors="replace") if isinstance(element, bytes) else str(element)
