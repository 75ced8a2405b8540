"""Samples are drawn from what a source knows of its inputs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from convert_onnx import FLOAT, STRING, a_model, a_network, an_embedding
from forebay_convert.source.onnx_ranges import draw_inputs
from forebay_convert.source.sklearn_ranges import draw_columns, features_of
from forebay_convert.tensors import Tensor

ROWS = 200


def drawn(estimator: Any, count: int) -> Any:
    return np.stack(draw_columns(estimator, count, ROWS, np.random.default_rng(0)), axis=1)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=10)),
        make_pipeline("passthrough", MinMaxScaler()),
        PCA(3),
        RandomForestClassifier(10),
        GradientBoostingClassifier(n_estimators=2),
        HistGradientBoostingClassifier(max_iter=2),
        KNeighborsClassifier(),
        SVC(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_what_an_estimator_was_fitted_on_is_about_the_range_that_is_drawn(estimator: Any) -> None:
    rows = np.random.default_rng(1).normal(5000, 300, size=(300, 4))
    estimator.fit(rows, (rows.sum(axis=1) > 20_000) + (rows[:, 0] > rows[:, 1]))

    columns = drawn(estimator, 4)

    assert columns.shape == (ROWS, 4)
    assert np.all(abs(columns.mean(axis=0) - 5000) < 1000)
    assert np.all(columns.std(axis=0) > 10)


def test_nothing_known_is_a_range_around_zero() -> None:
    estimator = LogisticRegression().fit([[1000.0], [2000.0]], [0, 1])

    assert abs(drawn(estimator, 1)).max() < 3


def test_the_parts_of_a_table_know_their_own_columns() -> None:
    table = np.array([[100.0, 1], [200.0, 2], [300.0, 7]])
    columns = ColumnTransformer([("kind", OneHotEncoder(), [1]), ("size", MinMaxScaler(), [0])]).fit(table)

    rows = drawn(columns, 2)

    assert set(rows[:, 1]) == {1, 2, 7}
    assert 80 < rows[:, 0].astype(float).min() < rows[:, 0].astype(float).max() < 320


def test_an_estimator_that_raises_when_asked_is_drawn_for_all_the_same() -> None:
    class Odd:
        @property
        def scale_(self) -> object:
            raise RuntimeError

    assert len(features_of(Odd(), 3)) == 3


def drawn_for(model: ModelProto, *declared: Tensor) -> Any:
    return draw_inputs(model, {tensor.name: tensor for tensor in declared}, np.random.default_rng(0), batched=True)


@given(st.integers(1, 50))
def test_indices_stay_within_their_table(vocabulary: int) -> None:
    tokens = drawn_for(an_embedding(vocabulary))["tokens"]

    assert tokens.dtype == np.int64
    assert 0 <= tokens.min() <= tokens.max() < vocabulary


def test_thresholds_of_a_tree_are_passed_on_both_sides() -> None:
    tree = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        nodes_featureids=[2, 0, 0],
        nodes_values=[5000.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
    )
    rows = drawn_for(a_model([tree], {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 1])}, ml=3))["x"]

    assert rows[:, 2].min() < 5000 < rows[:, 2].max()
    assert abs(rows[:, [0, 1, 3]]).max() < 3


def test_texts_are_those_that_the_model_knows() -> None:
    encoder = helper.make_node(
        "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["red", "blue"], values_floats=[1.0, 2.0]
    )
    model = a_model([encoder], {"x": (STRING, ["n", 1])}, {"y": (FLOAT, ["n", 1])}, ml=3)

    assert set(drawn_for(model)["x"].ravel()) == {"red", "blue"}


@pytest.mark.parametrize(
    ("onnx_type", "low", "high"), [(TensorProto.BOOL, 0, 1), (TensorProto.UINT8, 0, 255), (TensorProto.INT32, 0, 1)]
)
def test_types_without_a_known_range_have_a_harmless_one(onnx_type: int, low: int, high: int) -> None:
    model = a_model([helper.make_node("Cast", ["x"], ["y"], to=FLOAT)], {"x": (onnx_type, ["n", 9])}, {"y": (FLOAT, ["n", 9])})

    values = drawn_for(model)["x"].astype(int)

    assert low <= values.min() <= values.max() <= high


def test_open_dimensions_are_closed_by_what_the_order_declares() -> None:
    model = a_network()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "features"

    assert drawn_for(model)["x"].shape == (64, 8)
    assert drawn_for(model, Tensor("x", "FP32", (-1, 4)))["x"].shape == (64, 4)
