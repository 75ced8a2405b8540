"""Draws inputs for an ONNX model, within the ranges that its graph gives away."""

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper

from forebay_convert.graphs import inputs_of, nodes_of, tensor_of
from forebay_convert.reports import RefusalError
from forebay_convert.tensors import Array, Tensor, numpy_type_of

_OPEN_DIMENSION = 8
"""The size drawn for a dimension that varies and is not the batch; the same for all of one name."""
_ROWS = 64
_CALLS_WITHOUT_BATCH = 16
_WORDS = ("a", "b", "c")
_CARRIES_VALUES_ON = {"Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}


def draw_inputs(
    model: ModelProto, declared: Mapping[str, Tensor], generator: np.random.Generator, *, batched: bool
) -> dict[str, Array]:
    """Rows where the model is batched, else a few calls.

    Raises:
        RefusalError: an input is of a type that cannot be drawn.
    """
    rows = _ROWS if batched else _CALLS_WITHOUT_BATCH
    return {
        value.name: _draw(model.graph, _wanted(tensor_of(value, "input"), declared), rows, generator, batched=batched)
        for value in inputs_of(model)
    }


def _wanted(tensor: Tensor, declared: Mapping[str, Tensor]) -> Tensor:
    """The model's own input, its open dimensions closed where the order declares them."""
    other = declared.get(tensor.name)
    if other is None or len(other.shape) != len(tensor.shape):
        return tensor
    shape = tuple(mine if mine != -1 else theirs for mine, theirs in zip(tensor.shape, other.shape, strict=True))
    return Tensor(tensor.name, tensor.datatype, shape)


def _draw(graph: GraphProto, tensor: Tensor, rows: int, generator: np.random.Generator, *, batched: bool) -> Array:
    inner = tuple(size if size != -1 else _OPEN_DIMENSION for size in tensor.shape[1 if batched else 0 :])
    shape = (rows, *inner)
    if tensor.datatype == "BYTES":
        return generator.choice(_texts(graph, tensor.name), shape).astype(str)
    if tensor.datatype == "BF16":
        raise RefusalError(
            "load", f"Input {tensor.name!r} is BF16, for which no samples can be drawn.", "Export it with float32."
        )
    low, high = _range(graph, tensor)
    if tensor.datatype.startswith("FP"):
        return generator.uniform(low, high, shape).astype(numpy_type_of(tensor.datatype))
    return generator.integers(np.floor(low).astype(int), np.ceil(high).astype(int) + 1, shape).astype(
        numpy_type_of(tensor.datatype)
    )


def _range(graph: GraphProto, tensor: Tensor) -> tuple[Array, Array]:
    """Lowest and highest value of an input, for all of it or by feature (its last dimension)."""
    features = tensor.shape[-1] if tensor.shape else 0
    for node in _readers(graph, tensor.name):
        found = _range_from(graph, node, tensor.name, features)
        if found is not None:
            return found
    default = {"BOOL": (0, 1), "UINT8": (0, 255)}.get(tensor.datatype, (-2, 2) if tensor.datatype.startswith("FP") else (0, 1))
    return np.array(default[0]), np.array(default[1])


def _readers(graph: GraphProto, name: str) -> list[NodeProto]:
    """The nodes that an input's values reach unchanged."""
    names, readers = {name}, list[NodeProto]()
    for node in nodes_of(graph):
        if names & set(node.input):
            readers.append(node)
            if node.op_type in _CARRIES_VALUES_ON:
                names |= set(node.output)
    return readers


def _range_from(graph: GraphProto, node: NodeProto, name: str, features: int) -> tuple[Array, Array] | None:
    if node.op_type == "Gather":
        return _vocabulary(graph, node, name)
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Scaler" and attributes.get("scale"):
        centre, spread = np.array(attributes["offset"]), 2 / np.maximum(np.abs(attributes["scale"]), 1e-9)
        return centre - spread, centre + spread
    if node.op_type.startswith("TreeEnsemble") and "nodes_featureids" in attributes and features > 0:
        return _thresholds(attributes["nodes_featureids"], attributes["nodes_values"], attributes["nodes_modes"], features)
    return None


def _vocabulary(graph: GraphProto, node: NodeProto, name: str) -> tuple[Array, Array] | None:
    """Indices into a table are at most as many as its rows."""
    if name == node.input[0]:
        return None
    table = next((tensor for tensor in graph.initializer if tensor.name == node.input[0]), None)
    return (np.array(0), np.array(table.dims[0] - 1)) if table is not None and table.dims else None


def _thresholds(ids: list[int], values: list[float], modes: list[bytes], features: int) -> tuple[Array, Array] | None:
    low, high = np.full(features, np.inf), np.full(features, -np.inf)
    for feature, value, mode in zip(ids, values, modes, strict=False):
        if mode != b"LEAF" and feature < features:
            low[feature], high[feature] = min(low[feature], value), max(high[feature], value)
    unused = low > high
    if unused.all():
        return None
    low[unused], high[unused] = -2, 2
    margin = 0.1 * np.maximum(high - low, 1.0)
    return low - margin, high + margin


def _texts(graph: GraphProto, name: str) -> list[str]:
    """Texts that the node which reads the input knows, and one that it does not."""
    known = [
        value.decode("utf-8", "replace")
        for node in _readers(graph, name)
        for attribute in node.attribute
        if attribute.name in {"keys_strings", "cats_strings", "classes_strings"}
        for value in helper.get_attribute_value(attribute)
    ]
    return known or list(_WORDS)
