import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_convert.verification.comparison import (
    accuracy,
    compare,
    has_no_number,
    is_constant,
    mismatch,
    relative_errors,
)

values = st.floats(-1e6, 1e6, width=32)
tables = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(values, min_size=width, max_size=width), min_size=1, max_size=8)
)


@given(tables)
def test_an_answer_agrees_with_itself(rows: list[list[float]]) -> None:
    table = np.array(rows, dtype=np.float32)

    comparison = compare([table], [table], 0.0)

    assert (comparison.max_relative_error, comparison.beyond, comparison.agreement) == (0.0, 0, 1.0)


@given(tables, st.floats(1e-6, 1e3))
def test_the_error_does_not_depend_on_the_unit_of_the_output(rows: list[list[float]], unit: float) -> None:
    wanted = np.array(rows, dtype=np.float64)
    got = wanted * 1.001 + 0.01 * np.abs(wanted).max()

    np.testing.assert_allclose(relative_errors(got * unit, wanted * unit), relative_errors(got, wanted), rtol=1e-6, atol=1e-12)


def test_the_error_is_relative_for_large_values_and_forgiving_near_zero() -> None:
    errors = relative_errors(np.array([[101.0], [0.001]]), np.array([[100.0], [0.0]]))

    np.testing.assert_allclose(errors, [1 / 110, 0.001 / 10])


@pytest.mark.parametrize(("got", "wanted"), [(np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (np.inf, -np.inf)])
def test_what_is_a_number_on_one_side_only_is_infinitely_wrong(got: float, wanted: float) -> None:
    assert relative_errors(np.array([got]), np.array([wanted])) == [np.inf]


def test_where_there_are_labels_they_say_whether_two_agree() -> None:
    label, other = np.array([1, 2, 3, 4]), np.array([1, 2, 3, 9])
    scores = np.array([[0.1, 0.9]] * 4)

    assert compare([label, scores], [other, scores], 1e-3).agreement == 0.75


def test_texts_are_labels_too() -> None:
    got = np.array(["no", "yes"], dtype=object)

    assert compare([got], [np.array(["no", "no"])], 1e-3).agreement == 0.5


def test_without_labels_two_agree_if_the_largest_value_is_the_same_or_all_are_close() -> None:
    wanted = np.array([[0.1, 0.9], [0.5, 0.5001], [0.9, 0.1]])
    got = np.array([[0.2, 0.8], [0.5001, 0.5], [0.1, 0.9]])

    comparison = compare([got], [wanted], 1e-3)

    assert comparison.agreement == pytest.approx(2 / 3)
    assert comparison.beyond == 2


@pytest.mark.parametrize(
    ("got", "wanted", "reason"),
    [
        ([np.zeros(2)], [], "has 1 outputs, its source recorded 0"),
        ([np.zeros((2, 3))], [np.zeros((2, 2))], r"output 0 has shape \[2, 3\], its source recorded \[2, 2\]"),
        ([np.zeros((2, 3))], [np.zeros((3, 2))], "output 0 has shape"),
        ([np.array(["a"])], [np.array([1])], "output 0 is <U1, its source recorded int64"),
    ],
)
def test_what_cannot_be_compared_is_named(got: list[object], wanted: list[object], reason: str) -> None:
    found = mismatch(got, wanted)  # type: ignore[arg-type]  # object lists keep the table short

    with pytest.raises(ValueError, match=reason):
        raise ValueError(found)


def test_a_column_and_a_row_of_as_many_values_can_be_compared() -> None:
    assert mismatch([np.zeros((4, 1))], [np.zeros(4)]) is None


@pytest.mark.parametrize(
    ("got", "labels", "expected"),
    [
        ([np.array([1, 2]), np.array([[0.9, 0.1]] * 2)], np.array([1, 3]), 0.5),
        ([np.array([[0.9, 0.1], [0.2, 0.8]])], np.array([0, 1]), 1.0),
        ([np.array(["no", "yes"], dtype=object)], np.array(["no", "no"]), 0.5),
        ([np.array([1, 2])], np.array([1.0, 2.0]), 1.0),
        ([np.array([[1.5], [2.5]])], np.array([1, 2]), None),
        ([np.array([1, 2])], np.array([0.5, 0.6]), None),
        ([np.array([1, 2])], np.array([1, 2, 3]), None),
    ],
)
def test_accuracy_is_the_share_of_labels_that_were_named(got: list[object], labels: object, expected: float | None) -> None:
    assert accuracy(got, labels) == expected  # type: ignore[arg-type]  # object lists keep the table short


def test_outputs_are_constant_only_if_all_of_them_are() -> None:
    same, other = np.array([[1.0, 2.0]] * 3), np.array([1, 2, 1])

    assert is_constant([same])
    assert is_constant([np.array(["a", "a"], dtype=object)])
    assert not is_constant([same, other])
    assert not is_constant([same[:1]])


def test_a_value_that_is_no_number_is_found_among_floats_only() -> None:
    assert has_no_number(np.array([1.0, np.nan]))
    assert not has_no_number(np.array([1.0, np.inf]))
    assert not has_no_number(np.array([1, 2]))
