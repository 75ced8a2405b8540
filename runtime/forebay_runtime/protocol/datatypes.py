"""The v2 protocol's datatypes, and what they are in numpy."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np


@dataclass(frozen=True, slots=True)
class Datatype:
    """A datatype of the v2 protocol. `itemsize` 0: elements of their own length (BYTES)."""

    name: str
    dtype: np.dtype[Any]
    itemsize: int
    in_json: bool = True
    """FP16 and BF16 have no JSON form."""

    def __reduce__(self) -> tuple[Any, ...]:
        # There is one object for each: they are told apart by identity, also after a way between processes.
        return _named, (self.name,)


def _fixed(name: str, dtype: str, *, in_json: bool = True) -> Datatype:
    return Datatype(name, np.dtype(dtype), np.dtype(dtype).itemsize, in_json)


BYTES: Final = Datatype("BYTES", np.dtype(object), 0)

DATATYPES: Final[dict[str, Datatype]] = {
    datatype.name: datatype
    for datatype in (
        _fixed("BOOL", "?"),
        _fixed("UINT8", "u1"),
        _fixed("UINT16", "<u2"),
        _fixed("UINT32", "<u4"),
        _fixed("UINT64", "<u8"),
        _fixed("INT8", "i1"),
        _fixed("INT16", "<i2"),
        _fixed("INT32", "<i4"),
        _fixed("INT64", "<i8"),
        _fixed("FP16", "<f2", in_json=False),
        _fixed("FP32", "<f4"),
        _fixed("FP64", "<f8"),
        # numpy has no bfloat16: its two bytes travel as they are.
        _fixed("BF16", "<u2", in_json=False),
        BYTES,
    )
}

_CONFIG_NAMES: Final = {"TYPE_STRING": "BYTES"}


def _named(name: str) -> Datatype:
    return DATATYPES[name]


def of_config(name: str) -> Datatype | None:
    """The datatype that `TYPE_FP32` and its like in a model configuration name."""
    return DATATYPES.get(_CONFIG_NAMES.get(name, name.removeprefix("TYPE_")))


def config_name(datatype: Datatype) -> str:
    """`TYPE_FP32` and its like."""
    return "TYPE_STRING" if datatype is BYTES else f"TYPE_{datatype.name}"
