"""ONNX files as sources."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, shape_inference

from forebay_convert.graphs import inputs_of, is_batched, parse, refuse_external_data, refuse_unknown_operators, tensor_of
from forebay_convert.reports import RefusalError
from forebay_convert.samples import Samples
from forebay_convert.sessions import RunError, Session, joined
from forebay_convert.source.normal_form import normalise
from forebay_convert.source.onnx_ranges import draw_inputs
from forebay_convert.tensors import Array, Tensor

CALL_SIZE = 32
"""Samples in one call while outputs are recorded and compared."""


class OnnxSource:
    """An ONNX file: its reference is what onnxruntime computes of the file as it is."""

    def __init__(self, path: Path, declared: Sequence[Tensor]) -> None:
        """Read the file.

        Raises:
            RefusalError: it is no ONNX that our servers can run.
        """
        self._content = path.read_bytes()
        self._model = parse(self._content, "The source")
        refuse_external_data(self._model)
        if not self._model.functions:
            refuse_unknown_operators(self._model)
        self._batched = is_batched(_with_shapes(self._model))
        self._declared = {tensor.name: tensor for tensor in declared}
        self._recorded: list[Array] = []

    @property
    def inputs(self) -> Sequence[Tensor]:
        return tuple(tensor_of(value, "input") for value in inputs_of(self._model))

    @property
    def batched(self) -> bool:
        return self._batched

    def draw(self, generator: np.random.Generator) -> Mapping[str, Array]:
        return draw_inputs(self._model, self._declared, generator, batched=self._batched)

    def record(self, samples: Samples) -> None:
        session = Session(self._content, "load")
        zip_maps = _zip_maps(self._model.graph)
        answers = _answers(session, samples)
        for index, name in enumerate(session.outputs):
            parts = [answer[index] for answer in answers]
            if name in zip_maps:
                parts = [_table(part, zip_maps[name]) for part in parts]
            self._recorded.append(_joined(parts, samples, name))

    def convert(self) -> ModelProto:
        _drop_zip_maps(self._model.graph)
        return normalise(self._model)

    def reference(self) -> Sequence[Array]:
        return self._recorded


def _with_shapes(model: ModelProto) -> ModelProto:
    try:
        return shape_inference.infer_shapes(model)
    except Exception:  # what contradicts itself is named when it is converted
        return model


def _answers(session: Session, samples: Samples) -> list[list[Any]]:
    """What the model answers, call by call; one sample a call where it cannot take more."""
    try:
        return [session.run(call) for call in samples.calls(CALL_SIZE)]
    except RunError:
        pass
    try:
        return [session.run(call) for call in samples.calls(1)]
    except RunError as error:
        raise RefusalError(
            "load",
            f"The model cannot answer its samples: {error}",
            "Give samples that it can answer (verification.samples), or say what its inputs are (model.inputs).",
        ) from error


def _joined(parts: list[Array], samples: Samples, output: str) -> Array:
    try:
        return joined(parts, samples)
    except RunError as error:
        raise RefusalError(
            "load",
            f"The output {output!r} does not fit its samples: {error}.",
            "Export the model with a fixed batch dimension, or with one row of output for each row of input.",
        ) from error


def _zip_maps(graph: GraphProto) -> dict[str, NodeProto]:
    return {node.output[0]: node for node in graph.node if node.op_type == "ZipMap" and node.domain == "ai.onnx.ml"}


def _classes(node: NodeProto) -> list[Any]:
    found: list[Any] = [
        value
        for attribute in node.attribute
        for value in helper.get_attribute_value(attribute)
        if attribute.name in {"classlabels_int64s", "classlabels_strings"}
    ]
    return [value.decode() if isinstance(value, bytes) else value for value in found]


def _table(maps: list[dict[Any, float]], node: NodeProto) -> Array:
    classes = _classes(node)
    return np.array([[row[name] for name in classes] for row in maps], dtype=np.float32)


def _drop_zip_maps(graph: GraphProto) -> None:
    """Answer with the probabilities as a tensor, under the name that the list of dictionaries had."""
    for name, node in _zip_maps(graph).items():
        graph.node.remove(node)
        graph.node.append(helper.make_node("Identity", [node.input[0]], [name], name=f"{name}_as_tensor"))
        for output in graph.output:
            if output.name == name:
                shape = [None, len(_classes(node))]
                output.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
