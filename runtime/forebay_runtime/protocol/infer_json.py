"""Inference by HTTP: the JSON description of a request, and of its answer, with the binary tensor extension."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from forebay_runtime.protocol import byte_strings, classification, json_data, json_fields
from forebay_runtime.protocol.datatypes import BYTES, DATATYPES, Datatype
from forebay_runtime.protocol.errors import InternalError, InvalidArgumentError, UnsupportedError
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
from forebay_runtime.protocol.json_fields import JsonObject
from forebay_runtime.protocol.signature import GivenInput, ModelSignature

_SHARED_MEMORY: Final[str] = "shared_memory_region"
_MOST_PARAMETERS: Final = 1000
_ONE_SOURCE: Final = (
    "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in "
    "'parameters'. But"
)


def parse_object(body: bytes) -> JsonObject:
    """A request's JSON object.

    Raises:
        InternalError: it is none (500, as in Triton).
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InternalError(f"failed to parse the request JSON buffer: {error}") from None
    return json_fields.json_object(content, "request")


def parse_parameters(body: bytes) -> JsonObject:
    """The `parameters` of a repository call.

    Raises:
        InternalError: the body is no JSON object (500, as in Triton).
    """
    return json_fields.json_object(parse_object(body).get("parameters", {}), "parameters")


def plan(description: bytes, signature: ModelSignature) -> InferPlan:
    """Understand the JSON part of an inference request.

    Raises:
        RequestError: it is malformed or does not fit the model.
    """
    request = parse_object(description)
    request_id = json_fields.text(request.get("id", ""), "id")
    parameters = _parameters(request.get("parameters", {}))
    entries = json_fields.array(json_fields.member(request, "inputs", "inputs"), "inputs")
    sources = [_input(json_fields.json_object(entry, "inputs")) for entry in entries]
    given = [source.given for source in sources]
    rows = fitting_rows(signature, request_id, given)
    sizes = {source.given.name: source.size for source in sources if source.size is not None}
    arrays = {source.given.name: _json_array(source) for source in sources if source.size is None}
    outputs = _outputs(request.get("outputs"), signature, parameters)
    return make_plan(signature, Description(request_id, rows, given, sizes, arrays, outputs, parameters))


@dataclass(frozen=True, slots=True)
class _Source:
    """An input, and where its data is: `size` bytes behind the JSON, or in it (`data`)."""

    given: GivenInput
    size: int | None
    data: Any


def _input(entry: JsonObject) -> _Source:
    size = _binary_size(entry)
    name = json_fields.text(json_fields.member(entry, "name", "name"), "name")
    datatype = json_fields.text(json_fields.member(entry, "datatype", "datatype"), "datatype")
    shape = json_fields.array(json_fields.member(entry, "shape", "shape"), "shape")
    dims = tuple(json_fields.unsigned(dim, "shape") for dim in shape)
    if size is None and datatype not in DATATYPES:
        raise InvalidArgumentError(f"invalid datatype for input {name}")
    return _Source(GivenInput(name, DATATYPES.get(datatype), dims), size, entry.get("data"))


def _binary_size(entry: JsonObject) -> int | None:
    parameters = json_fields.json_object(entry.get("parameters", {}), "parameters")
    sources = ["data"] if "data" in entry else []
    sources += [key for key in ("binary_data_size", _SHARED_MEMORY) if key in parameters]
    if len(sources) != 1:
        named = " set " + ", ".join(f"'{source}'" for source in sources) if sources else " no field is set"
        raise InvalidArgumentError(_ONE_SOURCE + named)
    if sources[0] == _SHARED_MEMORY:
        raise _no_shared_memory()
    return json_fields.unsigned(parameters["binary_data_size"], "binary_data_size") if sources[0] != "data" else None


def _json_array(source: _Source) -> Array:
    given = source.given
    assert given.datatype is not None
    return json_data.array_of(source.data, given.datatype, given.shape, given.name)


def _no_shared_memory() -> UnsupportedError:
    return UnsupportedError("Client shared memory is disabled. This server takes tensors in the request only.")


def _parameters(value: Any) -> Parameters:
    timeout_us, binary = 0, False
    settings = json_fields.json_object(value, "parameters")
    if len(settings) > _MOST_PARAMETERS:
        raise InvalidArgumentError(f"the request has {len(settings)} parameters, expected {_MOST_PARAMETERS} at most")
    for key, setting in settings.items():
        match key:
            case "timeout":
                timeout_us = json_fields.unsigned(setting, key)
            case "binary_data_output":
                binary = json_fields.boolean(setting, key)
            case "priority":
                json_fields.unsigned(setting, key)
            case "sequence_start" | "sequence_end":
                json_fields.boolean(setting, key)
            case "sequence_id":
                if not isinstance(setting, str):
                    json_fields.unsigned(setting, key)
            case _:
                json_fields.check_custom_parameter(key, setting)
    return Parameters(timeout_us * 1000, binary)


def _outputs(value: Any, signature: ModelSignature, parameters: Parameters) -> tuple[WantedOutput, ...]:
    entries = json_fields.array(value, "outputs") if value is not None else []
    if not entries:
        return all_outputs(signature, binary=parameters.binary_output)
    wanted = (_output(json_fields.json_object(entry, "outputs"), signature, parameters) for entry in entries)
    # One that is named twice comes once, as in Triton.
    return tuple({output.tensor.name: output for output in wanted}.values())


def _output(entry: JsonObject, signature: ModelSignature, parameters: Parameters) -> WantedOutput:
    tensor = signature.output(json_fields.text(json_fields.member(entry, "name", "name"), "name"))
    options = json_fields.json_object(entry.get("parameters", {}), "parameters")
    if _SHARED_MEMORY in options:
        raise _no_shared_memory()
    classes = json_fields.unsigned(options.get("classification", 0), "classification")
    if classes:
        classification.check(tensor.datatype, tensor.name)
    binary = json_fields.boolean(options.get("binary_data", parameters.binary_output), "binary_data")
    return WantedOutput(tensor, binary, classes)


def raw_plan(signature: ModelSignature, size: int) -> InferPlan:
    """The plan of a raw request: the whole body is the only input, one row, every output comes back binary.

    Raises:
        InvalidArgumentError: the model has more inputs, or their shape does not follow from the size.
    """
    if len(signature.inputs) != 1:
        raise InvalidArgumentError(
            "[request id: <id_unknown>] Raw request must only have 1 input (found 1) to be deduced but got"
            f" {len(signature.inputs)} inputs in '{signature.name}' model configuration"
        )
    tensor = signature.inputs[0]
    dims = list(tensor.dims)
    open_dims = [index for index, dim in enumerate(dims) if dim == -1]
    if len(open_dims) > 1 or (tensor.datatype is BYTES and (open_dims or dims not in ([], [1]))):
        raise InvalidArgumentError(
            f"[request id: <id_unknown>] The shape of the raw input '{tensor.name}' can not be deduced because there are"
            " more than one variable-sized dimension or elements of varying length"
        )
    if open_dims:
        fixed = int(np.prod([dim for dim in dims if dim != -1], dtype=np.int64)) * tensor.datatype.itemsize
        dims[open_dims[0]] = size // max(1, fixed)
    shape = (1, *dims) if signature.max_batch_size else tuple(dims)
    outputs = all_outputs(signature, binary=True)
    given = [GivenInput(tensor.name, tensor.datatype, shape)]
    rows = fitting_rows(signature, "", given)
    return make_plan(signature, Description("", rows, given, {tensor.name: size}, {}, outputs))


def raw_parts(plan: InferPlan, body: memoryview) -> list[memoryview]:
    """The contents of a raw request: a BYTES element gets the length in front that the binary form has."""
    if plan.inputs[0].datatype is BYTES:
        return [memoryview(len(body).to_bytes(4, "little") + bytes(body))]
    return [body]


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """The body of an answer. `json_size` None: JSON only; else the binary parts follow that many bytes of JSON."""

    parts: Sequence[bytes | memoryview]
    json_size: int | None

    @property
    def size(self) -> int:
        return sum(len(part) for part in self.parts)


_KEPT_ANSWERS: Final = 16


@dataclass(frozen=True, slots=True)
class _Result:
    wanted: WantedOutput
    datatype: Datatype
    array: Array


def answer(signature: ModelSignature, plan: InferPlan, arrays: Mapping[str, Array]) -> InferAnswer:
    """The answer with the outputs that the plan wants; descriptions of equal answers are written once.

    Raises:
        InvalidArgumentError: an output has no JSON form.
    """
    results = [_result(signature, wanted, arrays[wanted.tensor.name]) for wanted in plan.outputs]
    parts = [_content(result) for result in results if result.wanted.binary]
    if not parts:
        return InferAnswer([_describe(signature, plan, results, parts)], None)
    key = tuple((result.array.shape, result.datatype is BYTES or not result.wanted.binary) for result in results)
    description = plan.answers.get(key)
    if description is None:
        description = _describe(signature, plan, results, parts)
        if len(plan.answers) < _KEPT_ANSWERS and not any(varies for _, varies in key):
            plan.answers[key] = description
    return InferAnswer([description, *parts], len(description))


def _describe(
    signature: ModelSignature, plan: InferPlan, results: Sequence[_Result], parts: Sequence[bytes | memoryview]
) -> bytes:
    sizes = iter(parts)
    outputs: list[JsonObject] = []
    for result in results:
        entry: JsonObject = {
            "name": result.wanted.tensor.name,
            "datatype": result.datatype.name,
            "shape": result.array.shape,
        }
        if result.wanted.binary:
            entry["parameters"] = {"binary_data_size": len(next(sizes))}
        else:
            entry["data"] = orjson.Fragment(json_data.list_of(result.array, result.datatype))
        outputs.append(entry)
    head: JsonObject = {"id": plan.request_id} if plan.request_id else {}
    head |= {"model_name": signature.name, "model_version": str(signature.version), "outputs": outputs}
    return orjson.dumps(head)


def _result(signature: ModelSignature, wanted: WantedOutput, array: Array) -> _Result:
    if not wanted.classes:
        return _Result(wanted, wanted.tensor.datatype, array)
    classes = classification.classify(array, wanted.classes, wanted.tensor.labels, batched=signature.max_batch_size > 0)
    return _Result(wanted, BYTES, classes)


def _content(result: _Result) -> bytes | memoryview:
    if result.datatype is BYTES:
        return byte_strings.pack(result.array)
    return contents(result.array)
