"""Estimators of many kinds, converted and compared within this process: the sandbox has its own tests."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from convert_sources import digits
from forebay_convert.reports import RefusalError
from forebay_convert.samples import arrange
from forebay_convert.sessions import Session
from forebay_convert.source.sklearn_source import SklearnSource
from forebay_convert.tensors import Tensor
from forebay_convert.verification.trial import Trial, attempt

FEW = 200
ALLOWED_ERROR = 1e-3
PROBABILITY: dict[str, Any] = {"probability": True}
"""Deprecated in scikit-learn 1.9, and still in many files."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:The `probability` parameter"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def compared(estimator: Any, *declared: Tensor) -> tuple[Session, Trial]:
    """The converted model's session, and how it compares with the estimator on drawn samples."""
    source = SklearnSource(estimator, declared)
    samples = arrange(source.draw(np.random.default_rng(0)), source.inputs, batched=source.batched)
    source.record(samples)
    session = Session(source.convert().SerializeToString(), "verify")
    return session, attempt(session, samples, source.reference(), ALLOWED_ERROR)


def check_agreement(trial: Trial) -> None:
    assert trial.comparison.beyond <= 2
    assert trial.comparison.agreement == 1.0
    assert trial.deterministic
    assert trial.batching


CLASSIFIER = ["label", "probabilities"]
CASES = [
    (make_pipeline(StandardScaler(), LogisticRegression()), CLASSIFIER),
    (make_pipeline(MinMaxScaler(), PCA(5), SVC(**PROBABILITY)), CLASSIFIER),
    (GradientBoostingClassifier(n_estimators=2), CLASSIFIER),
    (GaussianNB(), CLASSIFIER),
    (KNeighborsClassifier(), CLASSIFIER),
    (MLPClassifier(8, max_iter=3), CLASSIFIER),
    (CalibratedClassifierCV(LinearSVC(max_iter=20), cv=2), CLASSIFIER),
    (GridSearchCV(DecisionTreeClassifier(), {"max_depth": [2, 3]}, cv=2), CLASSIFIER),
    (VotingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier())], voting="soft"), CLASSIFIER),
    (SVC(), ["label", "scores"]),
    (LinearSVC(max_iter=20), ["label", "scores"]),
    (KMeans(3), ["label", "scores"]),
    (IsolationForest(n_estimators=5), ["label", "scores"]),
    (SVR(), ["variable"]),
    (RandomForestRegressor(5), ["variable"]),
    (HistGradientBoostingRegressor(max_iter=3), ["variable"]),
    (make_pipeline(PCA(4), Ridge()), ["variable"]),
    (StandardScaler(), ["variable"]),
]


@pytest.mark.parametrize(("estimator", "outputs"), CASES, ids=lambda value: type(value).__name__)
def test_an_estimator_is_converted_and_agrees(estimator: Any, outputs: list[str]) -> None:
    pictures, labels = digits()
    estimator.fit(pictures[:FEW, 20:40], labels[:FEW])

    session, trial = compared(estimator)

    assert session.outputs == outputs
    check_agreement(trial)


def test_text_labels_are_answered_as_texts() -> None:
    pictures, labels = digits()

    _, trial = compared(LogisticRegression().fit(pictures[:FEW], np.where(labels[:FEW] % 2, "odd", "even")))

    assert set(trial.answers[0]) <= {"odd", "even"}
    check_agreement(trial)


def test_several_targets_are_answered_together() -> None:
    pictures, labels = digits()

    _, trial = compared(MultiOutputRegressor(Ridge()).fit(pictures[:FEW], np.column_stack([labels[:FEW], -labels[:FEW]])))

    assert trial.answers[0].shape == (256, 2)
    check_agreement(trial)


def test_columns_of_several_types_are_inputs_of_their_own() -> None:
    kinds = np.array(["red", "blue", "red", "green"] * 5, dtype=object)
    sizes = np.arange(20.0)
    table = np.column_stack([kinds, sizes])
    columns = ColumnTransformer([("kind", OneHotEncoder(), [0]), ("size", StandardScaler(), [1])])
    estimator = make_pipeline(columns, Ridge()).fit(table, sizes + (kinds == "red"))

    _, trial = compared(estimator, Tensor("kind", "BYTES", (-1, 1)), Tensor("size", "FP32", (-1, 1)))

    check_agreement(trial)


def test_an_output_that_the_estimator_cannot_vouch_for_is_left_out_and_this_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pictures, labels = digits()

    session, trial = compared(RidgeClassifier().fit(pictures[:FEW], labels[:FEW] % 2))

    assert session.outputs == ["label"]
    assert "probabilities left out" in json.loads(capsys.readouterr().out)["note"]
    check_agreement(trial)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), "The LogisticRegression in the file is not fitted"),
        (DummyClassifier().fit([[0.0]], [0]), "DummyClassifier cannot be converted: skl2onnx has no converter for it"),
        (
            make_pipeline(StandardScaler(), DummyClassifier()).fit([[0.0]], [0]),
            "DummyClassifier, a part of the Pipeline, cannot be converted",
        ),
        (DBSCAN().fit([[0.0]]), "DBSCAN can neither predict nor transform anything new"),
        (CountVectorizer().fit(["some words"]), "does not say how many features it takes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_estimator_that_cannot_be_converted_is_named(estimator: Any, message: str) -> None:
    with pytest.raises(RefusalError, match=message):
        compared(estimator)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (Tensor("x", "FP32", (-1,)), "does not say how many features it has"),
        (Tensor("x", "FP32", (-1, 3)), "LogisticRegression.predict fails on the samples: ValueError: X has 3 features"),
        (Tensor("x", "UINT8", (-1, 64)), "of a type that scikit-learn's converters do not take"),
    ],
)
def test_an_input_that_does_not_fit_the_estimator_is_named(declared: Tensor, message: str) -> None:
    pictures, labels = digits()

    with pytest.raises(RefusalError, match=message):
        compared(LogisticRegression().fit(pictures[:FEW], labels[:FEW]), declared)
