"""What a model takes and gives, and whether a request fits it. The texts of refusals are Triton's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Final

from forebay_runtime.protocol.datatypes import BYTES, Datatype
from forebay_runtime.protocol.errors import InvalidArgumentError

_BATCH_NOTE: Final = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each input "
    "shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)

_MOST_ELEMENTS: Final = 1 << 48
_MOST_NAMED: Final = 32
_JSON_AROUND: Final = 1 << 20
_JSON_EACH: Final = 64
"""More bytes than a number takes in JSON, with brackets, spaces and line breaks around it."""


@dataclass(frozen=True, slots=True)
class TensorSignature:
    """An input or output. `dims` is without the batch dimension where the model has one; -1 varies."""

    name: str
    datatype: Datatype
    dims: tuple[int, ...]
    labels: tuple[str, ...] = ()
    """Names of the classes, for outputs of classifiers."""


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """One version of a model as clients see it. `max_batch_size` 0: it takes no batches."""

    name: str
    version: int
    max_batch_size: int
    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]

    def input(self, name: str) -> TensorSignature:
        for tensor in self.inputs:
            if tensor.name == name:
                return tensor
        raise InvalidArgumentError(f"unexpected inference input '{name}' for model '{self.name}'")

    def output(self, name: str) -> TensorSignature:
        for tensor in self.outputs:
            if tensor.name == name:
                return tensor
        raise InvalidArgumentError(f"unexpected inference output '{name}' for model '{self.name}'")

    def full_dims(self, tensor: TensorSignature) -> tuple[int, ...]:
        """With the batch dimension in front where there is one."""
        return (-1, *tensor.dims) if self.max_batch_size else tensor.dims


@dataclass(frozen=True, slots=True)
class GivenInput:
    """An input as a request describes it; `datatype` is None where the client named none that exists."""

    name: str
    datatype: Datatype | None
    shape: tuple[int, ...]


@lru_cache(maxsize=256)
def longest_json(signature: ModelSignature) -> int | None:
    """The most bytes that the JSON of a request which fits the model can sensibly have; None: its inputs are not bounded.

    Reading JSON takes long and many times its memory, so what cannot be right is not read.
    """
    if any(dim == -1 or tensor.datatype is BYTES for tensor in signature.inputs for dim in tensor.dims or (1,)):
        return None
    elements = sum(prod(tensor.dims) for tensor in signature.inputs) * max(1, signature.max_batch_size)
    return _JSON_AROUND + _JSON_EACH * elements


def rows_of(signature: ModelSignature, given: Sequence[GivenInput]) -> int:
    """How many rows of a batch the request fills, once its inputs are found to fit the model.

    Raises:
        InvalidArgumentError: they do not.
    """
    _check_names(signature, given)
    rows = _common_rows(signature, given) if signature.max_batch_size else 1
    for tensor in given:
        _check_tensor(signature, tensor)
    return rows


def _check_names(signature: ModelSignature, given: Sequence[GivenInput]) -> None:
    names = [tensor.name for tensor in given]
    known = frozenset(names)
    missing = [tensor.name for tensor in signature.inputs if tensor.name not in known]
    if len(names) != len(signature.inputs):
        raise InvalidArgumentError(
            f"expected {len(signature.inputs)} inputs but got {len(names)} inputs for model '{signature.name}'."
            f" Got inputs {_quoted(names)}, but missing required inputs {_quoted(missing)}."
            " Please provide all required inputs."
        )
    for name in names:
        signature.input(name)
    if missing:
        raise InvalidArgumentError(f"input '{_repeated(names)}' is given more than once for model '{signature.name}'")


def _common_rows(signature: ModelSignature, given: Sequence[GivenInput]) -> int:
    rows: int | None = None
    for tensor in given:
        if not tensor.shape:
            raise InvalidArgumentError(
                f"input '{tensor.name}' has no shape but model requires batch dimension for '{signature.name}'"
            )
        if rows is not None and tensor.shape[0] != rows:
            raise InvalidArgumentError(f"input '{tensor.name}' batch size does not match other inputs for '{signature.name}'")
        rows = tensor.shape[0]
    if rows is None:
        return 1
    if rows > signature.max_batch_size:
        raise InvalidArgumentError(
            f"inference request batch-size must be <= {signature.max_batch_size} for '{signature.name}'"
        )
    if rows < 1:
        raise InvalidArgumentError(f"inference request batch-size must be >= 1 for '{signature.name}'")
    return rows


def _check_tensor(signature: ModelSignature, given: GivenInput) -> None:
    expected = signature.input(given.name)
    if given.datatype is not expected.datatype:
        name = given.datatype.name if given.datatype else "<invalid>"
        raise InvalidArgumentError(
            f"inference input '{given.name}' data-type is '{name}', but model '{signature.name}' expects"
            f" '{expected.datatype.name}'"
        )
    if any(dim < 0 for dim in given.shape):
        raise InvalidArgumentError(
            f"All input dimensions should be specified for input '{given.name}' for model '{signature.name}',"
            f" got {_dims(given.shape)}"
        )
    if prod(max(1, dim) for dim in given.shape) > _MOST_ELEMENTS:
        raise InvalidArgumentError(
            f"shape {_dims(given.shape)} of input '{given.name}' for model '{signature.name}' is larger than any tensor can be"
        )
    dims = signature.full_dims(expected)
    if len(dims) != len(given.shape) or any(want not in (-1, got) for want, got in zip(dims, given.shape, strict=True)):
        note = _BATCH_NOTE if signature.max_batch_size else ""
        raise InvalidArgumentError(
            f"unexpected shape for input '{given.name}' for model '{signature.name}'. Expected {_dims(dims)},"
            f" got {_dims(given.shape)}. {note}"
        )


def _quoted(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return "[" + ",".join(f"'{name}'" for name in names[:_MOST_NAMED]) + more + "]"


def _repeated(names: Sequence[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def _dims(dims: Sequence[int]) -> str:
    return "[" + ",".join(str(dim) for dim in dims) + "]"
