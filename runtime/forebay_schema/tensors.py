"""Tensors as the v2 protocol describes them."""

from typing import Literal

from forebay_schema.documents import Part

DataType = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BF16",
    "BYTES",
]


class TensorSpec(Part):
    """One input or output. `shape` includes the batch dimension; -1 is a dimension that varies."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
