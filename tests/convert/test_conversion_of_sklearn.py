from pathlib import Path

import numpy as np
import onnxruntime

from convert_commands import an_order, carry_out
from convert_sources import TRAINED_ON, digits, digits_classifier, digits_file, digits_samples
from forebay_schema.manifest import MANIFEST_FILE, MODEL_FILE, Manifest
from forebay_schema.store import artifact_uri


def test_a_classifier_is_converted_verified_and_published_whole(tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", digits_file(tmp_path), samples_uri=str(digits_samples(tmp_path)), min_accuracy=0.9)

    ran = carry_out(order, tmp_path)

    result = ran.result()
    assert ran.status == 0, result.failure
    assert result.artifact is not None
    assert result.verification is not None
    assert result.verification.samples_from == "given"
    assert result.verification.samples == len(digits()[0]) - TRAINED_ON
    assert result.verification.max_relative_error < 1e-4
    assert result.verification.accuracy is not None
    assert result.verification.accuracy > 0.9
    assert result.verification.batch_sizes == (1, 3, 32)
    assert result.batching
    folder = Path(artifact_uri(order.store, "default", result.artifact))
    manifest = Manifest.from_json((folder / MANIFEST_FILE).read_bytes())
    assert manifest.digest() == result.artifact
    assert manifest.sandbox == "full"
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST_FILE, MODEL_FILE]
    assert not list((tmp_path / "work").iterdir())


def test_the_published_model_answers_as_the_estimator_does(tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", digits_file(tmp_path))

    result = carry_out(order, tmp_path).result()

    assert result.artifact is not None, result.failure
    pictures = digits()[0][TRAINED_ON:]
    session = onnxruntime.InferenceSession(
        f"{artifact_uri(order.store, 'default', result.artifact)}/{MODEL_FILE}", providers=["CPUExecutionProvider"]
    )
    labels, probabilities = session.run(["label", "probabilities"], {"input": pictures})
    np.testing.assert_array_equal(np.asarray(labels), digits_classifier().predict(pictures))
    np.testing.assert_allclose(np.asarray(probabilities), digits_classifier().predict_proba(pictures), atol=1e-5)
