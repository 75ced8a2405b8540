"""Small ONNX files: sound ones of several kinds, and some with a fault."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
ROWS = ("n",)


def a_model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[Any]]],
    outputs: Mapping[str, tuple[int, Sequence[Any]]],
    *,
    constants: dict[str, Any] | None = None,
    opset: int = 18,
    ml: int | None = None,
    ir: int = 8,
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
        [helper.make_tensor_value_info(name, *spec) for name, spec in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid("ai.onnx.ml", ml)] if ml else [])]
    return helper.make_model(graph, ir_version=ir, opset_imports=opsets)


def saved(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def a_network(*, rows: Any = "n", opset: int = 18, ir: int = 8, features: int = 4, seed: int = 0) -> ModelProto:
    """tanh(x W + b): four features to three values a row."""
    generator = np.random.default_rng(seed)
    constants = {
        "W": generator.normal(size=(features, 3)).astype(np.float32),
        "b": generator.normal(size=3).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["xw"]),
        helper.make_node("Add", ["xw", "b"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["y"]),
    ]
    shapes = {"x": (FLOAT, [rows, features])}, {"y": (FLOAT, [rows, 3])}
    return a_model(nodes, *shapes, constants=constants, opset=opset, ir=ir)


def one_node(operator: str, *, domain: str = "", opset: int = 18, **attributes: Any) -> ModelProto:
    """y = operator(x), four features a row."""
    node = helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)
    model = a_model([node], {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}, opset=opset)
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def an_embedding(vocabulary: int = 7) -> ModelProto:
    """Rows of three tokens to the sum of their vectors: any index beyond the table is an error."""
    table = np.random.default_rng(1).normal(size=(vocabulary, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["vectors"]),
        helper.make_node("ReduceSum", ["vectors", "axis"], ["y"], keepdims=0),
    ]
    constants = {"table": table, "axis": np.array([1])}
    return a_model(nodes, {"tokens": (INT64, ["n", 3])}, {"y": (FLOAT, ["n", 5])}, constants=constants)


def with_dictionaries() -> ModelProto:
    """A classifier that answers with a list of dictionaries, as skl2onnx writes it by default."""
    classifier = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "raw"],
        domain="ai.onnx.ml",
        coefficients=[0.1, 0.2, -0.3, 0.4, -0.1, -0.2, 0.3, -0.4],
        intercepts=[0.1, -0.1],
        classlabels_strings=["no", "yes"],
        post_transform="SOFTMAX",
    )
    zipped = helper.make_node("ZipMap", ["raw"], ["scores"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"])
    model = a_model([classifier, zipped], {"x": (FLOAT, [None, 4])}, {"label": (STRING, [None])}, ml=3)
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, [])))
    model.graph.output.append(helper.make_value_info("scores", maps))
    return model


def with_external_data() -> ModelProto:
    model = a_network()
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../../etc/passwd")
    return model


def with_a_function() -> ModelProto:
    """y = double(x), where `double` is a function of the model's own."""
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    double = helper.make_function("own", "double", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    model = one_node("double", domain="own")
    model.functions.append(double)
    return model


def that_mixes_rows() -> ModelProto:
    """Each row less the mean of its batch: no server may batch requests of several clients for it."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axis"], ["mean"]),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return a_model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}, constants={"axis": np.array([0])})


def an_endless_loop() -> ModelProto:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["co"]), helper.make_node("Tanh", ["v"], ["vo"])],
        "body",
        [value("i", INT64, []), value("c", TensorProto.BOOL, []), value("v", FLOAT, ["n", 4])],
        [value("co", TensorProto.BOOL, []), value("vo", FLOAT, ["n", 4])],
    )
    nodes = [helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)]
    shapes = {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}
    return a_model(nodes, *shapes, constants={"true": np.array(True)})


def an_enormous_tensor() -> ModelProto:
    """x plus four terabytes of zeros."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    shapes = {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}
    return a_model(nodes, *shapes, constants={"size": np.array([1 << 40])})
