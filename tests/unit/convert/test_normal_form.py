import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from convert_onnx import (
    FLOAT,
    a_model,
    a_network,
    an_embedding,
    one_node,
    that_mixes_rows,
    with_a_function,
    with_external_data,
)
from forebay_convert.graphs import inputs_of, is_batched, opsets_of, parse, refuse_unserved_form, tensor_of
from forebay_convert.reports import RefusalError
from forebay_convert.source.normal_form import normalise
from forebay_convert.source.output_edits import drop_output, rename_output, width_of
from forebay_convert.tensors import Tensor


def first_dimensions(model: ModelProto) -> set[str]:
    return {value.type.tensor_type.shape.dim[0].dim_param for value in (*model.graph.input, *model.graph.output)}


def reading_what_is_not_there() -> ModelProto:
    return a_model([helper.make_node("Tanh", ["lost"], ["y"])], {"x": (FLOAT, ["n"])}, {"y": (FLOAT, ["n"])})


def with_two_counts() -> ModelProto:
    inputs = {"x": (FLOAT, ["n", 1]), "z": (FLOAT, ["m", 1])}
    return a_model([helper.make_node("Sub", ["x", "z"], ["y"])], inputs, {"y": (FLOAT, ["k", 1])})


def with_one_answer_for_all_rows() -> ModelProto:
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    return a_model([node], {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, [])})


def two_outputs() -> ModelProto:
    nodes = [
        helper.make_node("Tanh", ["x"], ["y"]),
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["z"]),
    ]
    return a_model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4]), "z": (FLOAT, ["n", 4])})


@pytest.mark.parametrize("rows", ["n", None, "rows"])
def test_the_batch_has_one_name_wherever_it_appears(rows: str | None) -> None:
    assert first_dimensions(normalise(a_network(rows=rows))) == {"batch"}


def test_a_fixed_batch_keeps_its_size() -> None:
    assert tensor_of(normalise(a_network(rows=2)).graph.output[0], "output") == Tensor("y", "FP32", (2, 3))


@pytest.mark.parametrize(("opset", "ir"), [(26, 13), (22, 14), (9, 4), (7, 8)])
def test_format_and_operators_are_those_that_every_server_loads(opset: int, ir: int) -> None:
    model = normalise(a_network(opset=opset, ir=ir))

    refuse_unserved_form(model)
    assert model.ir_version <= 10
    assert opsets_of(model)[""] == min(opset, 22)


def test_a_domain_that_is_named_twice_is_named_once_with_the_newer_version() -> None:
    model = a_network()
    model.opset_import.extend([helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)])

    assert [(entry.domain, entry.version) for entry in normalise(model).opset_import] == [("", 18)]


def test_constants_that_an_old_format_lists_as_inputs_are_no_inputs() -> None:
    model = a_network(ir=3)
    model.graph.input.append(helper.make_tensor_value_info("b", FLOAT, [3]))

    assert [value.name for value in normalise(model).graph.input] == ["x"]


def test_functions_of_the_models_own_are_written_out() -> None:
    model = normalise(with_a_function())

    assert not model.functions
    assert [node.op_type for node in model.graph.node] == ["Add"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (one_node("FancyOp"), "knows: FancyOp"),
        (one_node("Gelu", opset=18), r"knows: Gelu \(opset 18\)"),
        (one_node("FastGelu", domain="com.microsoft"), r"knows: com\.microsoft\.FastGelu"),
        (one_node("Swish", opset=24), "operator Swish is newer than that"),
        (with_external_data(), "data of 'W' in another file"),
        (reading_what_is_not_there(), "contradicts itself"),
    ],
)
def test_what_cannot_be_brought_into_this_form_is_named(model: ModelProto, message: str) -> None:
    with pytest.raises(RefusalError, match=message):
        normalise(model)


@pytest.mark.parametrize("content", [b"", b"\x08\x08", b"hello world", a_network().SerializeToString()[:100]])
def test_what_is_no_whole_model_is_refused(content: bytes) -> None:
    with pytest.raises(RefusalError, match="The source is no ONNX model, or only a part of one"):
        parse(content, "The source")


def test_a_model_without_inputs_is_refused() -> None:
    model = a_model([helper.make_node("RandomUniform", [], ["y"], shape=[2])], {}, {"y": (FLOAT, [2])})

    with pytest.raises(RefusalError, match="has no inputs"):
        parse(model.SerializeToString(), "The source")


@pytest.mark.parametrize(
    ("model", "batched"),
    [
        (a_network(), True),
        (a_network(rows=None), True),
        (a_network(rows=2), False),
        (that_mixes_rows(), True),  # only running it shows that it mixes them
        (an_embedding(), True),
        (with_two_counts(), False),
        (with_one_answer_for_all_rows(), False),
    ],
)
def test_a_model_is_batched_if_the_first_dimension_of_everything_varies_as_one(model: ModelProto, batched: bool) -> None:
    assert is_batched(model) == batched


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (helper.make_tensor_sequence_value_info("s", FLOAT, None), "The output 's' is a sequence, not a tensor"),
        (helper.make_tensor_value_info("c", TensorProto.COMPLEX64, [1]), "The output 'c' is of type COMPLEX64"),
    ],
)
def test_what_the_protocol_cannot_carry_is_refused(value: object, message: str) -> None:
    with pytest.raises(RefusalError, match=message):
        tensor_of(value, "output")  # type: ignore[arg-type]  # onnx's helper is loosely typed


def test_an_output_that_is_left_out_takes_along_what_only_it_needed() -> None:
    model = two_outputs()

    drop_output(model.graph, "z")

    assert [node.op_type for node in model.graph.node] == ["Tanh"]
    assert [output.name for output in normalise(model).graph.output] == ["y"]


def test_an_output_gets_another_name() -> None:
    model = two_outputs()

    rename_output(model.graph, "z", "scores")

    assert [output.name for output in normalise(model).graph.output] == ["y", "scores"]


@pytest.mark.parametrize(("shape", "width"), [(["n"], 1), (["n", 4], 4), (["n", 4, 2], 8), (["n", None], None), ([], None)])
def test_the_width_of_an_output_is_its_values_in_a_row(shape: list[object], width: int | None) -> None:
    assert width_of(helper.make_tensor_value_info("y", FLOAT, shape)) == width  # type: ignore[arg-type]  # mixed on purpose


def test_inputs_are_what_a_request_has_to_bring() -> None:
    model = a_network()
    model.graph.input.append(helper.make_tensor_value_info("W", FLOAT, [4, 3]))

    assert [value.name for value in inputs_of(model)] == ["x"]
    assert np.prod(model.graph.initializer[0].dims) == 12
