"""Inference by gRPC: the description of a request without its raw tensors, and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from forebay_runtime.protocol import byte_strings, classification, grpc_wire
from forebay_runtime.protocol.datatypes import BYTES, DATATYPES, Datatype
from forebay_runtime.protocol.errors import InvalidArgumentError, UnsupportedError, with_request_id
from forebay_runtime.protocol.inference import (
    Array,
    Description,
    InferPlan,
    Parameters,
    WantedOutput,
    all_outputs,
    contents,
    fitting_rows,
    make_plan,
)
from forebay_runtime.protocol.signature import GivenInput, ModelSignature
from forebay_runtime.protocol.triton_messages import service

_CONTENTS: Final[dict[str, tuple[str, str]]] = {
    "BOOL": ("bool_contents", "?"),
    "INT8": ("int_contents", "i4"),
    "INT16": ("int_contents", "i4"),
    "INT32": ("int_contents", "i4"),
    "INT64": ("int64_contents", "i8"),
    "UINT8": ("uint_contents", "u4"),
    "UINT16": ("uint_contents", "u4"),
    "UINT32": ("uint_contents", "u4"),
    "UINT64": ("uint64_contents", "u8"),
    "FP32": ("fp32_contents", "f4"),
    "FP64": ("fp64_contents", "f8"),
    "BYTES": ("bytes_contents", "O"),
}
"""The field of typed contents for a datatype, and what it holds."""
_FINAL_ON_REQUEST: Final = "triton_enable_empty_final_response"
_LONGEST_KEPT: Final = 8192
_KEPT_ANSWERS: Final = 16


@dataclass(frozen=True, slots=True)
class Target:
    """Which model a request is for."""

    model: str
    version: str
    request_id: str


def target(description: bytes) -> Target:
    """The model that a request names.

    Raises:
        InvalidArgumentError: it is no ModelInferRequest.
    """
    return _kept_target(description) if len(description) <= _LONGEST_KEPT else _target(description)


def _target(description: bytes) -> Target:
    request = _parse(description)
    return Target(request.model_name, request.model_version, request.id)


_kept_target = lru_cache(maxsize=1024)(_target)


def _parse(description: bytes) -> Any:
    try:
        return service.ModelInferRequest.FromString(description)
    except DecodeError as error:
        raise InvalidArgumentError(f"the request is no ModelInferRequest: {error}") from None


def plan(description: bytes, signature: ModelSignature, *, raw: bool) -> InferPlan:
    """Understand a request; `raw`: its tensors come as `raw_input_contents`, in the order of its inputs.

    Raises:
        RequestError: it is malformed or does not fit the model.
    """
    request = _parse(description)
    given: list[GivenInput] = []
    sizes: dict[str, int] = {}
    arrays: dict[str, Array] = {}
    for tensor in request.inputs:
        given.append(GivenInput(tensor.name, DATATYPES.get(tensor.datatype), tuple(tensor.shape)))
        if "shared_memory_region" in tensor.parameters:
            raise _no_shared_memory()
        if not raw and tensor.datatype not in DATATYPES:
            raise InvalidArgumentError(f"invalid datatype for input {tensor.name}")
    rows = fitting_rows(signature, request.id, given)
    for tensor, described in zip(request.inputs, given, strict=True):
        if raw:
            sizes[tensor.name] = _raw_size(tensor, described, signature)
        else:
            arrays[tensor.name] = _typed(tensor, described)
    parameters = _parameters(request.parameters)
    # An output that is named twice comes once, as in Triton.
    wanted = {entry.name: _output(entry, signature) for entry in request.outputs}
    outputs = tuple(wanted.values()) or all_outputs(signature, binary=True)
    return make_plan(signature, Description(request.id, rows, given, sizes, arrays, outputs, parameters))


def _raw_size(tensor: Any, described: GivenInput, signature: ModelSignature) -> int:
    if tensor.HasField("contents"):
        raise InvalidArgumentError(
            f"contents field must not be specified when using raw_input_contents for '{tensor.name}'"
            f" for model '{signature.name}'"
        )
    # The true size is known with the data only; it is compared then.
    return prod(described.shape) * (described.datatype.itemsize if described.datatype else 0)


def _typed(tensor: Any, described: GivenInput) -> Array:
    datatype = described.datatype
    assert datatype is not None
    if datatype.name not in _CONTENTS:
        raise InvalidArgumentError(
            f"{datatype.name} input '{tensor.name}' has no typed contents. Please use raw_input_contents"
        )
    field, held = _CONTENTS[datatype.name]
    values = getattr(tensor.contents, field)
    if len(values) != prod(described.shape):
        raise InvalidArgumentError(
            f"unexpected number of elements in contents of input '{tensor.name}'. Expected {prod(described.shape)},"
            f" got {len(values)}"
        )
    return _array(values, held, datatype, tensor.name).reshape(described.shape)


def _array(values: Any, held: str, datatype: Datatype, name: str) -> Array:
    if datatype is BYTES:
        return np.array([byte_strings.text(value, name) for value in values], dtype=object)
    # protobuf's containers offer no buffer; this is the fastest way out of them.
    array = np.fromiter(values, held, len(values))
    if datatype.dtype.kind in "iu" and array.size:
        limits = np.iinfo(datatype.dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise InvalidArgumentError(f"input '{name}' holds values outside of {datatype.name}: {limits.min} to {limits.max}")
    return array.astype(datatype.dtype, copy=False)


def _no_shared_memory() -> UnsupportedError:
    return UnsupportedError("Client shared memory is disabled. This server takes tensors in the request only.")


def _parameters(parameters: Any) -> Parameters:
    timeout_us = 0
    for key, value in parameters.items():
        choice = value.WhichOneof("parameter_choice")
        match key:
            case "timeout":
                timeout_us = _integer(key, value, choice)
            case "priority":
                if choice != "uint64_param":
                    _integer(key, value, choice)
            case "sequence_id" if choice in ("int64_param", "string_param"):
                pass
            case "sequence_start" | "sequence_end" if choice == "bool_param":
                pass
            case _:
                _check_custom(key, choice)
    return Parameters(timeout_us * 1000)


def _integer(key: str, value: Any, choice: str | None) -> int:
    if choice != "int64_param" or value.int64_param < 0:
        raise InvalidArgumentError(f"invalid value type for '{key}' parameter, expected int64_param of 0 or more.")
    return int(value.int64_param)


def _check_custom(key: str, choice: str | None) -> None:
    if key == _FINAL_ON_REQUEST:
        return
    if key.startswith("triton_"):
        raise InvalidArgumentError(
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
        )
    if choice not in ("bool_param", "int64_param", "string_param", "double_param") or key.startswith("sequence_"):
        raise InvalidArgumentError(f"invalid value type for '{key}' parameter, got {choice}.")


def _output(entry: Any, signature: ModelSignature) -> WantedOutput:
    tensor = signature.output(entry.name)
    if "shared_memory_region" in entry.parameters:
        raise _no_shared_memory()
    classes = 0
    if "classification" in entry.parameters:
        classes = entry.parameters["classification"].int64_param
        if classes <= 0:
            raise InvalidArgumentError("invalid value for 'classification' parameter, expected >= 0")
        classification.check(tensor.datatype, tensor.name)
    return WantedOutput(tensor, binary=True, classes=classes)


def check_raws(plan: InferPlan, raws: Sequence[memoryview], model: str) -> None:
    """Compare the raw tensors with what the plan expects.

    Raises:
        InvalidArgumentError: one is missing, one too many, or of another size.
    """
    if len(raws) != len(plan.inputs):
        raise InvalidArgumentError(
            f"expected {len(plan.inputs)} raw_input_contents for model '{model}', one for each input, got {len(raws)}"
        )
    for planned, raw in zip(plan.inputs, raws, strict=True):
        if planned.datatype is not BYTES and planned.size != len(raw):
            raise InvalidArgumentError(
                with_request_id(
                    plan.request_id,
                    f"input byte size mismatch for input '{planned.name}' for model '{model}'."
                    f" Expected {planned.size}, got {len(raw)}",
                )
            )


def answer(signature: ModelSignature, plan: InferPlan, arrays: Mapping[str, Array]) -> bytes:
    """A serialised ModelInferResponse; its tensors are `raw_output_contents` always, as in Triton."""
    results = [_result(signature, wanted, arrays[wanted.tensor.name]) for wanted in plan.outputs]
    raws = [_content(datatype, array) for datatype, array in results]
    key = tuple(array.shape for _, array in results)
    description = plan.answers.get(key)
    if description is None:
        description = _describe(signature, plan, results)
        if len(plan.answers) < _KEPT_ANSWERS:
            plan.answers[key] = description
    return grpc_wire.join_response(description, raws)


def _describe(signature: ModelSignature, plan: InferPlan, results: Sequence[tuple[Datatype, Array]]) -> bytes:
    response = service.ModelInferResponse(model_name=signature.name, model_version=str(signature.version), id=plan.request_id)
    for wanted, (datatype, array) in zip(plan.outputs, results, strict=True):
        response.outputs.add(name=wanted.tensor.name, datatype=datatype.name, shape=array.shape)
    return bytes(response.SerializeToString())


def _result(signature: ModelSignature, wanted: WantedOutput, array: Array) -> tuple[Datatype, Array]:
    if not wanted.classes:
        return wanted.tensor.datatype, array
    batched = signature.max_batch_size > 0
    return BYTES, classification.classify(array, wanted.classes, wanted.tensor.labels, batched=batched)


def _content(datatype: Datatype, array: Array) -> bytes | memoryview:
    if datatype is BYTES:
        return byte_strings.pack(array)
    return contents(array)


_FINAL: Final[bytes] = bytes(
    service.ModelInferResponse(
        parameters={"triton_final_response": service.InferParameter(bool_param=True)}
    ).SerializeToString()
)
_STREAM_RESPONSE_FIELD: Final = 2


def stream_answer(response: bytes) -> bytes:
    """A ModelStreamInferResponse with this ModelInferResponse: the only, and so the final one for its request."""
    return grpc_wire.field(_STREAM_RESPONSE_FIELD, response + _FINAL)


def stream_error(request_id: str, message: str) -> bytes:
    """A ModelStreamInferResponse that says why a request of the stream has no answer."""
    response = service.ModelStreamInferResponse(error_message=message)
    response.infer_response.id = request_id
    return bytes(response.SerializeToString())
