"""An inference request once it is understood, whichever way it came in.

Clients send the same description (names, shapes, parameters) again and again with other data, so the two are kept apart: an
`InferPlan` is the validated description and can be reused; the data is joined to it by `tensors`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from forebay_runtime.protocol import byte_strings
from forebay_runtime.protocol.datatypes import BYTES, Datatype
from forebay_runtime.protocol.errors import InvalidArgumentError, with_request_id
from forebay_runtime.protocol.signature import GivenInput, ModelSignature, TensorSignature, rows_of

Array = npt.NDArray[Any]

_CHEAP_TO_COPY: Final = 4096
MANY_TEXTS: Final = 1 << 13
"""Elements of a BYTES tensor that take a few milliseconds to cut apart, or to join."""


@dataclass(frozen=True, slots=True)
class PlannedInput:
    """An input whose data comes as bytes: `size` of them."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output the client wants. `classes` above 0: its best classes instead of its values."""

    tensor: TensorSignature
    binary: bool
    classes: int = 0


@dataclass(frozen=True, slots=True)
class InferPlan:
    """A validated description of a request."""

    request_id: str
    rows: int
    shape: tuple[tuple[int, ...], ...]
    """Shapes of the inputs without the batch dimension, in the model's order: requests of one batch agree in it."""
    inputs: tuple[PlannedInput, ...]
    outputs: tuple[WantedOutput, ...]
    output_names: tuple[str, ...]
    timeout_ns: int = 0
    given: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """Inputs whose data was part of the description."""
    has_many_texts: bool = False
    """Whether an input is so much text that reading it holds up others."""
    answers: dict[object, bytes] = field(default_factory=dict[object, bytes], compare=False)
    """Descriptions of answers already given to this plan, by the shapes of the outputs. A cache: it changes no answer."""

    @property
    def reusable(self) -> bool:
        """Whether the plan holds for every request with the same description."""
        return not self.given


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a request's parameters ask for."""

    timeout_ns: int = 0
    binary_output: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """A request as its sender describes it; its inputs have been found to fit the model.

    Each input has either a size in `sizes` (its bytes come separately) or an array in `arrays`.
    """

    request_id: str
    rows: int
    inputs: Sequence[GivenInput]
    sizes: Mapping[str, int]
    arrays: Mapping[str, Array]
    outputs: Sequence[WantedOutput]
    parameters: Parameters = Parameters()


def fitting_rows(signature: ModelSignature, request_id: str, given: Sequence[GivenInput]) -> int:
    """How many rows of a batch the request fills. To be asked before any data of it is read, which may cost much.

    Raises:
        InvalidArgumentError: the inputs do not fit the model; the message is Triton's.
    """
    try:
        return rows_of(signature, given)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(with_request_id(request_id, error.message)) from None


def make_plan(signature: ModelSignature, described: Description) -> InferPlan:
    """The plan of a request whose inputs fit the model.

    Raises:
        InvalidArgumentError: their sizes do not; the message is Triton's.
    """
    try:
        inputs = tuple(
            _planned(signature, tensor, described.sizes[tensor.name])
            for tensor in described.inputs
            if tensor.name in described.sizes
        )
    except InvalidArgumentError as error:
        raise InvalidArgumentError(with_request_id(described.request_id, error.message)) from None
    skip = 1 if signature.max_batch_size else 0
    shapes = {tensor.name: tensor.shape[skip:] for tensor in described.inputs}
    return InferPlan(
        request_id=described.request_id,
        rows=described.rows,
        shape=tuple(shapes[tensor.name] for tensor in signature.inputs),
        inputs=inputs,
        outputs=tuple(described.outputs),
        output_names=tuple(wanted.tensor.name for wanted in described.outputs),
        timeout_ns=described.parameters.timeout_ns,
        given=described.arrays,
        has_many_texts=any(_is_many_texts(planned) for planned in inputs),
    )


def _is_many_texts(planned: PlannedInput) -> bool:
    return planned.datatype is BYTES and prod(planned.shape) > MANY_TEXTS


def answers_many_texts(plan: InferPlan, arrays: Mapping[str, Array]) -> bool:
    """Whether an output is so much text that writing it holds up others."""
    return any(output.tensor.datatype is BYTES and arrays[output.tensor.name].size > MANY_TEXTS for output in plan.outputs)


def _planned(signature: ModelSignature, given: GivenInput, size: int) -> PlannedInput:
    datatype = signature.input(given.name).datatype
    expected = prod(given.shape) * datatype.itemsize
    if datatype is not BYTES and size != expected:
        raise InvalidArgumentError(
            f"input byte size mismatch for input '{given.name}' for model '{signature.name}'. Expected {expected}, got {size}"
        )
    return PlannedInput(given.name, datatype, given.shape, size)


def all_outputs(signature: ModelSignature, *, binary: bool) -> tuple[WantedOutput, ...]:
    """What a request gets that names no outputs."""
    return tuple(WantedOutput(tensor, binary) for tensor in signature.outputs)


def tensors(plan: InferPlan, contents: Iterable[memoryview]) -> dict[str, Array]:
    """The request's arrays: views of `contents`, one part for each of the plan's inputs, copied only where they must be.

    Raises:
        InvalidArgumentError: a BYTES input is malformed.
    """
    arrays = dict(plan.given)
    for planned, content in zip(plan.inputs, contents, strict=True):
        arrays[planned.name] = _array(planned, content)
    return arrays


def _array(planned: PlannedInput, content: memoryview) -> Array:
    if planned.datatype is BYTES:
        return byte_strings.unpack(content, prod(planned.shape), planned.name).reshape(planned.shape)
    array = np.frombuffer(content, planned.datatype.dtype).reshape(planned.shape)
    return array if array.flags.aligned else array.copy()


def contents(array: Array) -> bytes | memoryview:
    """An array's elements as they go out, row by row: a view where that is cheaper than a copy."""
    if array.nbytes <= _CHEAP_TO_COPY:
        return array.tobytes()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def tail_parts(plan: InferPlan, tail: memoryview, model: str) -> list[memoryview]:
    """Cut the binary part of an HTTP body into the plan's inputs.

    Raises:
        InvalidArgumentError: there is too little or too much of it.
    """
    parts: list[memoryview] = []
    offset = 0
    for planned in plan.inputs:
        end = offset + planned.size
        if end > len(tail):
            raise InvalidArgumentError(
                f"unexpected size for input '{planned.name}', expecting {end - len(tail)} additional bytes for model '{model}'"
            )
        parts.append(tail[offset:end])
        offset = end
    if offset != len(tail):
        raise InvalidArgumentError(f"unexpected additional input data for model '{model}'")
    return parts
