"""Tensors inside the sealed processes: the v2 protocol's types, and numpy's and ONNX's for the same."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from onnx import TensorProto

Array = npt.NDArray[Any]

_ONNX_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}
_V2_TYPES = {int(onnx_type): name for name, onnx_type in _ONNX_TYPES.items()}

_NUMPY_TYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output; -1 is a dimension that varies, the first one being the batch where the model is batched."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def describe(self) -> str:
        return f"{self.name} {self.datatype} {list(self.shape)}"


def datatype_of(onnx_type: int) -> str | None:
    """The v2 protocol's name of an ONNX element type; None where it has none."""
    return _V2_TYPES.get(onnx_type)


def onnx_type_of(datatype: str) -> int:
    return int(_ONNX_TYPES[datatype])


def to_datatype(array: Array, datatype: str) -> Array:
    """The same values as the runtime wants them; texts as objects.

    Raises:
        ValueError: the values are of another kind, or the type has no numpy counterpart.
    """
    if datatype == "BYTES":
        if array.dtype.kind not in "UO":
            raise ValueError(f"wants texts, got {array.dtype}")
        return array.astype(object)
    if datatype not in _NUMPY_TYPES:
        raise ValueError(f"samples of {datatype} are not supported")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"wants {datatype}, got {array.dtype}")
    return array.astype(_NUMPY_TYPES[datatype])


def numpy_type_of(datatype: str) -> str:
    """numpy's name of a v2 type other than BYTES and BF16, which it lacks."""
    return _NUMPY_TYPES[datatype]
