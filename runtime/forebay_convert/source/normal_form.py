"""Brings an ONNX model into the form that every server of ours can load, without changing what it computes."""

import re

import onnx
from onnx import ModelProto, ValueInfoProto, helper, inliner, shape_inference, version_converter

from forebay_convert.graphs import (
    BATCH,
    NEWEST_IR,
    NEWEST_OPSETS,
    inputs_of,
    is_batched,
    nodes_of,
    opsets_of,
    refuse_external_data,
    refuse_unknown_operators,
    refuse_unserved_form,
)
from forebay_convert.reports import RefusalError

_FIRST_IR_WITH_CONSTANTS_APART = 4
_OLDEST_WRITTEN_IR = 8


def normalise(model: ModelProto) -> ModelProto:
    """The model with one operator set a domain, at most the newest served opset and IR, shapes inferred, the batch named.

    Raises:
        RefusalError: it cannot be brought into this form; says which operator or part is in the way.
    """
    refuse_external_data(model)
    del model.training_info[:]
    if model.functions:
        model = inliner.inline_local_functions(model)
    refuse_unknown_operators(model)
    model = _with_served_operators(model)
    _use_one_opset_a_domain(model)
    _use_served_format(model)
    if is_batched(_with_shapes(model)):
        # Before the shapes are kept: inference makes names of its own for what has none.
        _name_batch(model)
    model = _with_shapes(model)
    _check(model)
    refuse_unserved_form(model)
    return model


def _with_served_operators(model: ModelProto) -> ModelProto:
    found = opsets_of(model).get("", 0)
    if found <= NEWEST_OPSETS[""]:
        return model
    _use_one_opset_a_domain(model)
    try:
        return version_converter.convert_version(model, NEWEST_OPSETS[""])
    except Exception as error:  # the C++ converter raises what it likes
        raise RefusalError(
            "convert",
            f"The model is written for opset {found} and cannot be lowered to {NEWEST_OPSETS['']}: {_hindrance(error)}",
            f"Export it with opset_version={NEWEST_OPSETS['']}.",
        ) from error


def _hindrance(error: Exception) -> str:
    newer = re.search(r"No Previous Version of (\w+)", str(error))
    return f"operator {newer[1]} is newer than that." if newer is not None else _first_line(error)


def _use_one_opset_a_domain(model: ModelProto) -> None:
    used = {"" if node.domain == "ai.onnx" else node.domain for node in nodes_of(model.graph)}
    versions = {domain: version for domain, version in opsets_of(model).items() if domain in used or domain == ""}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in sorted(versions.items()))


def _use_served_format(model: ModelProto) -> None:
    """Old formats list constants among the inputs; new ones hold nothing that the served operators need."""
    if model.ir_version < _FIRST_IR_WITH_CONSTANTS_APART:
        kept = inputs_of(model)
        del model.graph.input[:]
        model.graph.input.extend(kept)
    model.ir_version = min(max(model.ir_version, _OLDEST_WRITTEN_IR), NEWEST_IR)


def _with_shapes(model: ModelProto) -> ModelProto:
    try:
        return shape_inference.infer_shapes(model, check_type=True)
    except Exception as error:  # the C++ inference raises what it likes
        raise _inconsistent(error) from error


def _name_batch(model: ModelProto) -> None:
    """Give the dimension along which requests are batched one name, wherever it appears."""
    inputs = inputs_of(model)
    former = {_first_dimension_name(value) for value in inputs} - {""}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        if value in inputs or _first_dimension_name(value) in former:
            value.type.tensor_type.shape.dim[0].dim_param = BATCH
    for value in model.graph.output:
        shape = value.type.tensor_type.shape
        if shape.dim and not shape.dim[0].WhichOneof("value"):
            shape.dim[0].dim_param = BATCH


def _first_dimension_name(value: ValueInfoProto) -> str:
    dimensions = value.type.tensor_type.shape.dim
    return dimensions[0].dim_param if dimensions else ""


def _check(model: ModelProto) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's own class, and what the inference under it raises
        raise _inconsistent(error) from error


def _inconsistent(error: Exception) -> RefusalError:
    return RefusalError(
        "load",
        f"The model contradicts itself: {_first_line(error)}",
        "Export it anew; onnx.checker.check_model(model, full_check=True) shows the same.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
