from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from convert_commands import an_order
from convert_inside import Told, converted
from convert_onnx import a_network, an_embedding, saved, with_a_function, with_dictionaries
from forebay_schema.conversion import ConversionResult
from forebay_schema.manifest import MANIFEST_FILE, MODEL_FILE, Manifest
from forebay_schema.store import artifact_uri
from forebay_schema.tensors import TensorSpec


def published(result: ConversionResult, store: Path) -> ModelProto:
    assert result.artifact is not None, result.failure
    return onnx.load(f"{artifact_uri(str(store), 'default', result.artifact)}/{MODEL_FILE}")


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(a_network(rows=None), id="nameless-batch"),
        pytest.param(a_network(opset=26, ir=13), id="too-new-but-lowerable"),
        pytest.param(a_network(opset=9, ir=4), id="old"),
        pytest.param(with_a_function(), id="own-function"),
        pytest.param(an_embedding(), id="token-indices"),
        pytest.param(with_dictionaries(), id="dictionaries"),
    ],
)
def test_a_sound_file_is_published_in_the_form_that_every_server_loads(model: ModelProto, tmp_path: Path) -> None:
    result = converted(an_order(tmp_path / "store", saved(model, tmp_path)), tmp_path)

    made = published(result, tmp_path / "store")
    assert made.ir_version <= 10
    assert {entry.domain: entry.version for entry in made.opset_import}[""] <= 22
    assert len({entry.domain for entry in made.opset_import}) == len(made.opset_import)
    assert all(value.type.tensor_type.shape.dim[0].dim_param == "batch" for value in (*made.graph.input, *made.graph.output))
    assert result.batching
    assert result.verification is not None
    assert result.verification.samples_from == "drawn"
    assert result.verification.batch_sizes == (1, 3, 32)


def test_what_is_published_answers_as_the_file_did(tmp_path: Path) -> None:
    path = saved(a_network(opset=26, ir=13), tmp_path)
    rows = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)

    made = published(converted(an_order(tmp_path / "store", path), tmp_path), tmp_path / "store")

    before, after = (
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": rows})[0]
        for content in (path.read_bytes(), made.SerializeToString())
    )
    np.testing.assert_allclose(np.asarray(after), np.asarray(before), rtol=1e-6)


def test_a_fixed_batch_is_kept_and_said(tmp_path: Path) -> None:
    result = converted(an_order(tmp_path / "store", saved(a_network(rows=2), tmp_path)), tmp_path)

    assert result.failure is None
    assert not result.batching
    assert result.inputs == (TensorSpec(name="x", datatype="FP32", shape=(2, 4)),)


def test_memory_is_estimated_up_to_the_largest_batch(tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", saved(a_network(features=200_000), tmp_path), max_batch_size=12)

    result = converted(order, tmp_path)

    assert result.artifact is not None, result.failure
    folder = artifact_uri(order.store, "default", result.artifact)
    memory = Manifest.from_json(Path(folder, MANIFEST_FILE).read_bytes()).memory
    assert [estimate.batch_size for estimate in memory] == [1, 2, 4, 8, 12]
    assert memory[0].bytes >= 200_000 * 3 * 4
    assert memory[-1].bytes >= memory[0].bytes + 11 * 200_000 * 4
    assert result.memory_bytes == memory[-1].bytes


def test_a_conversion_that_was_done_is_found_instead_of_done_again(tmp_path: Path) -> None:
    path = saved(a_network(), tmp_path)
    first = converted(an_order(tmp_path / "store", path), tmp_path)
    moved = path.rename(tmp_path / "moved.onnx")

    again = converted(an_order(tmp_path / "store", moved), tmp_path)
    other_options = converted(an_order(tmp_path / "store", moved, max_batch_size=2), tmp_path)

    assert again.model_copy(update={"reused": False, "seconds": first.seconds}) == first
    assert again.reused
    assert not other_options.reused
    assert other_options.artifact != first.artifact


def test_a_source_whose_digest_is_given_is_not_even_fetched_when_it_was_converted(tmp_path: Path) -> None:
    path = saved(a_network(), tmp_path)
    first = converted(an_order(tmp_path / "store", path), tmp_path)
    path.unlink()
    told = Told()

    again = converted(an_order(tmp_path / "store", path, sha256=first.source_sha256), tmp_path, told)

    assert again.artifact == first.artifact
    assert [message for message, _ in told.lines] == ["found in the store"]
