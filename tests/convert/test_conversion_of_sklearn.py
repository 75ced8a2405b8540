from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnxruntime
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convert_commands import an_order, carry_out, run
from convert_inside import converted
from convert_sources import TRAINED_ON, digits, digits_classifier, digits_file, digits_samples
from forebay_schema.conversion import ConversionResult
from forebay_schema.manifest import MANIFEST_FILE, MODEL_FILE, Manifest
from forebay_schema.store import artifact_uri


def test_a_classifier_is_converted_verified_and_published_whole(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    order = an_order(tmp_path / "store", digits_file(tmp_path), samples_uri=str(digits_samples(tmp_path)), min_accuracy=0.9)

    ran = carry_out(order, tmp_path, HOME=str(home), XDG_CACHE_HOME=str(home))

    result = ran.result()
    assert ran.status == 0, result.failure
    assert not list(home.iterdir()), "no process of ours leaves telemetry, or anything else, in a home"
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


FEW = 300


@pytest.mark.parametrize(
    "estimator",
    [make_pipeline(StandardScaler(), RandomForestClassifier(10, n_jobs=2)), HistGradientBoostingClassifier(max_iter=3)],
    ids=["threads", "openmp"],
)
def test_estimators_that_use_threads_work_in_the_sandbox(estimator: Any, tmp_path: Path) -> None:
    pictures, labels = digits()
    joblib.dump(estimator.fit(pictures[:FEW], labels[:FEW]), tmp_path / "model.joblib")

    result = converted(an_order(tmp_path / "store", tmp_path / "model.joblib"), tmp_path)

    assert result.failure is None
    assert [output.name for output in result.outputs] == ["label", "probabilities"]
    assert result.batching


def test_a_skops_file_with_text_labels_and_an_input_of_ones_own_is_converted(tmp_path: Path) -> None:
    pictures, labels = digits()
    odd = np.where(labels[:FEW] % 2, "odd", "even")
    path = tmp_path / "model.skops"
    skops.io.dump(RandomForestClassifier(5).fit(pictures[:FEW], odd), path)

    ran = run(path, "-o", tmp_path / "out", "--input", "image:FP32:-1,64", "--work", tmp_path / "work")

    assert ran.status == 0, ran.errors
    assert "Agrees with the outputs its source reported on 256 samples (drawn within its input ranges)" in ran.output
    assert "inputs   image FP32 [-1, 64]" in ran.output
    assert "outputs  label BYTES [-1], probabilities FP32 [-1, 2]" in ran.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MANIFEST_FILE, MODEL_FILE]


def test_a_pickle_of_another_version_of_scikit_learn_is_converted_and_the_result_says_so(tmp_path: Path) -> None:
    path = digits_file(tmp_path)
    ours = version("scikit-learn").encode()
    assert ours in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(ours, b"0" * len(ours)))

    result = converted(an_order(tmp_path / "store", path), tmp_path)

    assert result.failure is None
    assert f"source saved with scikit-learn {'0' * len(ours)}" in result.converted_with


def test_a_failure_is_told_to_a_person_in_two_sentences(tmp_path: Path) -> None:
    ran = run(tmp_path / "missing.joblib", "-o", tmp_path / "out", "--result", tmp_path / "result.json")

    assert ran.status == 1
    assert ran.errors.splitlines()[-2:] == [
        f"Not converted (fetch): The source at {tmp_path / 'missing.joblib'} does not exist.",
        "Check the address, or put it there; a path is looked up on the machine where the conversion runs.",
    ]
    assert not (tmp_path / "out").exists()
    assert ConversionResult.from_json((tmp_path / "result.json").read_bytes()).failure is not None


def test_wrong_usage_ends_with_status_2(tmp_path: Path) -> None:
    assert run(tmp_path / "model.joblib").status == 2
