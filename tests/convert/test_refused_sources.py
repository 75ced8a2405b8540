"""The table of bad sources: the message names the cause and the remedy, and a corrected source is converted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from onnx import ModelProto
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from convert_commands import an_order
from convert_inside import converted, converted_at_level
from convert_onnx import a_network, an_enormous_tensor, one_node, saved, that_mixes_rows, with_external_data
from convert_sources import TRAINED_ON, digits, digits_file, digits_samples
from forebay_schema.conversion import ConversionFailure, ConversionResult
from forebay_schema.manifest import SandboxLevel


def refused(result: ConversionResult) -> ConversionFailure:
    assert result.artifact is None
    assert result.failure is not None
    assert result.failure.remedy
    assert not result.failure.retryable
    return result.failure


@pytest.mark.parametrize(
    ("model", "stage", "cause"),
    [
        pytest.param(one_node("FancyOp"), "load", "operators that no server of ours knows: FancyOp", id="operator"),
        pytest.param(
            one_node("FastGelu", domain="com.microsoft"), "load", "knows: com.microsoft.FastGelu", id="foreign-operator"
        ),
        pytest.param(with_external_data(), "load", "keeps the data of 'W' in another file", id="external-data"),
        pytest.param(one_node("Swish", opset=24), "convert", "operator Swish is newer than that", id="too-new"),
        pytest.param(one_node("RandomNormalLike"), "verify", "different answers to the same samples", id="random"),
        pytest.param(one_node("Log"), "verify", "answers NaN in y", id="no-number"),
        pytest.param(an_enormous_tensor(), "load", "needs more memory than the conversion may use", id="four-terabytes"),
    ],
)
def test_an_onnx_file_with_a_fault_is_refused(model: ModelProto, stage: str, cause: str, tmp_path: Path) -> None:
    failure = refused(converted(an_order(tmp_path / "store", saved(model, tmp_path)), tmp_path))

    assert cause in failure.cause
    assert failure.stage == stage


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        pytest.param(lambda folder: saved(a_network(), folder), "is no ONNX model, or only a part of one", id="onnx"),
        pytest.param(digits_file, "cannot be read as a joblib, pickle or skops file", id="joblib"),
    ],
)
def test_a_truncated_file_is_refused(make: Callable[[Path], Path], cause: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    _cut(path)

    assert cause in refused(converted(an_order(tmp_path / "store", path), tmp_path)).cause


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        pytest.param({"weights": [1, 2, 3]}, "holds a dict, not an estimator", id="dictionary"),
        pytest.param(LogisticRegression(), "The LogisticRegression in the file is not fitted", id="not-fitted"),
    ],
)
def test_a_pickle_of_something_else_is_refused(content: Any, cause: str, tmp_path: Path) -> None:
    joblib.dump(content, tmp_path / "model.joblib")

    assert cause in refused(converted(an_order(tmp_path / "store", tmp_path / "model.joblib"), tmp_path)).cause


@pytest.mark.parametrize(
    ("module", "name", "cause"),
    [
        ("xgboost.sklearn", "XGBClassifier", "needs the Python package 'xgboost', which the converter does not have"),
        ("__main__", "MyTransformer", "uses a class or function of the script that saved it"),
    ],
)
def test_a_pickle_that_needs_more_than_scikit_learn_is_refused(module: str, name: str, cause: str, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04c" + f"{module}\n{name}\n".encode() + b").\x94" + bytes(8))

    assert cause in refused(converted(an_order(tmp_path / "store", tmp_path / "model.pkl"), tmp_path)).cause


def test_labels_that_the_model_does_not_name_are_refused(tmp_path: Path) -> None:
    wrong = (digits()[1][TRAINED_ON:] + 1) % 10
    samples = digits_samples(tmp_path, labels=wrong)
    order = an_order(tmp_path / "store", digits_file(tmp_path), samples_uri=str(samples), min_accuracy=0.9)

    assert "names the labelled class on" in refused(converted(order, tmp_path)).cause


@pytest.mark.parametrize(
    ("arrays", "cause"),
    [
        ({"x": np.zeros((4, 4)), "more": np.zeros(4)}, "The samples are named ['more', 'x'], the inputs of the model ['x']"),
        ({"x": np.zeros((4, 5))}, "have shape [4, 5], the model takes [-1, 4]"),
        ({"x": np.array([{}], dtype=object)}, "The samples cannot be read as arrays: Object arrays"),
    ],
)
def test_samples_that_do_not_fit_are_refused(arrays: dict[str, Any], cause: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", **arrays)
    order = an_order(tmp_path / "store", saved(a_network(), tmp_path), samples_uri=str(tmp_path / "samples.npz"))

    assert cause in refused(converted(order, tmp_path)).cause


def test_a_corrected_source_is_converted(tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", saved(one_node("FancyOp"), tmp_path))
    refused(converted(order, tmp_path))

    saved(one_node("Tanh"), tmp_path)

    assert converted(order, tmp_path).failure is None


@pytest.mark.parametrize("level", ["none", "no-filesystem"])
def test_a_trusted_source_is_converted_where_it_cannot_be_isolated(level: SandboxLevel, tmp_path: Path) -> None:
    order = an_order(tmp_path / "store", saved(a_network(), tmp_path), trust_source=True)

    assert converted_at_level(order, tmp_path, level).failure is None


def test_a_pickle_is_refused_where_it_cannot_be_isolated(tmp_path: Path) -> None:
    failure = refused(converted_at_level(an_order(tmp_path / "store", digits_file(tmp_path)), tmp_path, "none"))

    assert "This machine cannot isolate the conversion" in failure.cause


def test_a_skops_file_with_types_that_skops_does_not_vouch_for_needs_the_sandbox(tmp_path: Path) -> None:
    pictures, labels = digits()
    path = tmp_path / "model.skops"
    skops.io.dump(DecisionTreeClassifier(max_depth=2).fit(pictures, labels), path)

    failure = refused(converted_at_level(an_order(tmp_path / "store", path), tmp_path, "none"))

    assert "only safe to load in a sandbox: sklearn.tree._tree.Tree" in failure.cause


def test_a_model_that_mixes_the_rows_of_a_batch_is_served_without_batching(tmp_path: Path) -> None:
    result = converted(an_order(tmp_path / "store", saved(that_mixes_rows(), tmp_path)), tmp_path)

    assert result.failure is None
    assert not result.batching
