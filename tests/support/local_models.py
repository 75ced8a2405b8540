"""Small ONNX models and ModelDeployments for the tests of the local world."""

from pathlib import Path
from typing import Any

import onnx
import yaml
from onnx import TensorProto, helper


def save_scaling_model(path: Path, factor: float) -> Path:
    """A model `y = factor * x`, FP32, four features, any batch."""
    features: list[int | str | None] = ["n", 4]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scaling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, features)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, features)],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def a_deployment(name: str, uri: str, **spec: Any) -> str:
    """The YAML of a ModelDeployment; `spec` is added to what names the model."""
    content = {
        "apiVersion": "forebay.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {"model": {"source": {"uri": uri}}, **spec},
    }
    return yaml.safe_dump(content)
