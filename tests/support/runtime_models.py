"""Small ONNX models, model repositories and artifacts for the tests of the runtime."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from forebay_schema.manifest import MANIFEST_FILE, MODEL_FILE, ArtifactFile, Manifest, MemoryEstimate, Verification
from forebay_schema.tensors import TensorSpec

MIB = 1 << 20


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 20,
) -> bytes:
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializer=list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return bytes(model.SerializeToString())


def add_model(constant: float = 1.0, width: int = 16, opset: int = 20) -> bytes:
    """y = x + constant; FP32 [-1, width]."""
    return _model(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor("c", TensorProto.FLOAT, [1], [constant])],
        opset,
    )


def two_inputs_model() -> bytes:
    """sum = a + b and difference = a - b; INT32 [-1, -1]."""
    shape = ["batch", "n"]
    return _model(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])],
        [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name in ("a", "b")],
        [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name in ("sum", "difference")],
    )


def text_model() -> bytes:
    """Text comes back as it is; BYTES [-1, 1]."""
    return _model(
        [helper.make_node("Identity", ["text"], ["same"])],
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["batch", 1])],
        [helper.make_tensor_value_info("same", TensorProto.STRING, ["batch", 1])],
    )


def texts_model() -> bytes:
    """Text comes back as it is; BYTES [-1, -1]."""
    return _model(
        [helper.make_node("Identity", ["text"], ["same"])],
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["batch", "n"])],
        [helper.make_tensor_value_info("same", TensorProto.STRING, ["batch", "n"])],
    )


def repeated_text_model(times: int = 1 << 21) -> bytes:
    """Each row of text as often; BYTES [-1, -1] to BYTES [-1, times as many]."""
    shape = ["batch", "n"]
    return _model(
        [helper.make_node("Tile", ["text", "times"], ["repeated"])],
        [helper.make_tensor_value_info("text", TensorProto.STRING, shape)],
        [helper.make_tensor_value_info("repeated", TensorProto.STRING, ["batch", "m"])],
        [helper.make_tensor("times", TensorProto.INT64, [2], [1, times])],
    )


def open_model() -> bytes:
    """y = |x|; FP32 [-1, -1]."""
    return _model(
        [helper.make_node("Abs", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])],
    )


def half_model() -> bytes:
    """FP16 [-1, 4] comes back as it is."""
    return _model(
        [helper.make_node("Identity", ["h"], ["same"])],
        [helper.make_tensor_value_info("h", TensorProto.FLOAT16, ["batch", 4])],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT16, ["batch", 4])],
    )


def unbatched_model() -> bytes:
    """y = x + x; FP64 [3], no batch dimension."""
    return _model(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [3])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [3])],
    )


def gather_model() -> bytes:
    """Fails in execution when an index is out of range: y = table[index]; INT64 [-1, 1] to FP32."""
    return _model(
        [helper.make_node("Gather", ["table", "index"], ["y"], axis=0)],
        [helper.make_tensor_value_info("index", TensorProto.INT64, ["batch", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor("table", TensorProto.FLOAT, [3], [10.0, 20.0, 30.0])],
    )


def repeating_model(times: int | None = None) -> bytes:
    """y = x, after that many steps, or as many as the input n says; both INT64 [1]."""
    scalar = [
        helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", TensorProto.INT64), ("go", TensorProto.BOOL))
    ]
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Add", ["v", "zero"], ["w"])],
        "body",
        [*scalar, helper.make_tensor_value_info("v", TensorProto.INT64, [1])],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.INT64, [1]),
        ],
    )
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT64, [1])]
    weights = [
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
    ]
    if times is None:
        inputs.append(helper.make_tensor_value_info("n", TensorProto.INT64, [1]))
    else:
        weights.append(helper.make_tensor("n", TensorProto.INT64, [1], [times]))
    return _model(
        [helper.make_node("Loop", ["n", "yes", "x"], ["y"], body=body)],
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1])],
        weights,
    )


def blowing_up_model() -> bytes:
    """As many ones as its input says, in two dimensions; INT64 [2] to FP32."""
    return _model(
        [helper.make_node("ConstantOfShape", ["x"], ["y"], value=helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]))],
        [helper.make_tensor_value_info("x", TensorProto.INT64, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])],
    )


def growing_model() -> bytes:
    """Keeps 4 MiB for each step, and says how many steps there were; n, INT64 [1], to INT64 [1]."""
    pieces = [helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None) for name in ("had", "has")]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["goes"]),
            helper.make_node(
                "ConstantOfShape", ["size"], ["piece"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1])
            ),
            helper.make_node("SequenceInsert", ["had", "piece"], ["has"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            pieces[0],
        ],
        [helper.make_tensor_value_info("goes", TensorProto.BOOL, []), pieces[1]],
    )
    return _model(
        [
            helper.make_node("SequenceEmpty", [], ["none"], dtype=TensorProto.FLOAT),
            helper.make_node("Loop", ["n", "yes", "none"], ["all"], body=body),
            helper.make_node("SequenceLength", ["all"], ["length"]),
            helper.make_node("Reshape", ["length", "one"], ["y"]),
        ],
        [helper.make_tensor_value_info("n", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1])],
        [
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("size", TensorProto.INT64, [1], [MIB]),
        ],
    )


def heavy_model(megabytes: int) -> bytes:
    """Weights of that size; y = w[i], INT64 [1] to FP32 [1]."""
    weights = np.ones(megabytes * MIB // 4, np.float32)
    return _model(
        [helper.make_node("Gather", ["w", "i"], ["y"], axis=0)],
        [helper.make_tensor_value_info("i", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)],
    )


def slow_model(steps: int = 24, width: int = 512) -> bytes:
    """Multiplies by a big matrix again and again: some ten milliseconds a row on one core. FP32 [-1, width]."""
    weights = np.eye(width, dtype=np.float32).tobytes()
    names = ["x", *(f"h{step}" for step in range(steps - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[step], "w"], [names[step + 1]]) for step in range(steps)]
    return _model(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width, width])],
        [helper.make_tensor("w", TensorProto.FLOAT, [width, width], weights, raw=True)],
    )


def put_model(repository: Path, name: str, model: bytes, version: int = 1, config: str | None = None) -> Path:
    """Lay a model out as Triton's repository has it; return its folder."""
    folder = repository / name
    (folder / str(version)).mkdir(parents=True, exist_ok=True)
    (folder / str(version) / "model.onnx").write_bytes(model)
    if config is not None:
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    return folder


def put_artifact(store: Path, model: bytes, memory_bytes: int = 8 * MIB, width: int = 16) -> tuple[str, str]:
    """Publish an add-model as a conversion does; return the artifact's URI and digest."""
    manifest = Manifest(
        format="onnx",
        files=(ArtifactFile(name=MODEL_FILE, size_bytes=len(model), sha256=hashlib.sha256(model).hexdigest()),),
        source_sha256=hashlib.sha256(model).hexdigest(),
        source_bytes=len(model),
        tools={"onnx": onnx.__version__},
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, width)),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, width)),),
        batching=True,
        verification=Verification(samples=1, samples_from="drawn", max_relative_error=0.0, agreement=1.0),
        memory=(MemoryEstimate(batch_size=1, bytes=memory_bytes // 2), MemoryEstimate(batch_size=32, bytes=memory_bytes)),
    )
    folder = store / manifest.digest()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(model)
    (folder / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    return str(folder), manifest.digest()
