"""Compares what a converted model answers with what its source answered. Pure.

The relative error of a value is |got - wanted| / (|wanted| + a tenth of the output's largest |wanted|): relative where
values are large, and blind to rounding near zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from forebay_convert.tensors import Array

_FLOOR = 0.1
_TABLE = 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """How close the answers are; a row is a sample."""

    max_relative_error: float
    beyond: int
    """Rows whose error is larger than was allowed."""
    agreement: float
    """Share of rows that name the same class; where there are no classes, that are within the error allowed."""


def mismatch(got: Sequence[Array], wanted: Sequence[Array]) -> str | None:
    """What keeps the answers from being compared at all, in words."""
    if len(got) != len(wanted):
        return f"the converted model has {len(got)} outputs, its source recorded {len(wanted)}"
    for index, (one, other) in enumerate(zip(got, wanted, strict=True)):
        if one.size != other.size or len(one) != len(other):
            return f"output {index} has shape {list(one.shape)}, its source recorded {list(other.shape)}"
        if _is_text(one) != _is_text(other):
            return f"output {index} is {one.dtype}, its source recorded {other.dtype}"
    return None


def compare(got: Sequence[Array], wanted: Sequence[Array], allowed_error: float) -> Comparison:
    """Compare outputs that `mismatch` found comparable."""
    errors = _errors(got, wanted)
    labels = [(one, other) for one, other in zip(got, wanted, strict=True) if not _is_float(one)]
    within = errors <= allowed_error
    agrees = _all(_same_rows(*pair) for pair in labels) if labels else _same_class(got, wanted, within)
    return Comparison(float(errors.max()), int((~within).sum()), float(agrees.mean()))


def relative_errors(got: Array, wanted: Array) -> Array:
    """The largest relative error of each row; infinite where only one side is a number."""
    one, other = _rows(got).astype(np.float64), _rows(wanted).astype(np.float64)
    finite = np.abs(other[np.isfinite(other)])
    scale = float(finite.max()) if finite.size else 0.0
    with np.errstate(invalid="ignore"):
        errors = np.abs(one - other) / (np.abs(other) + (_FLOOR * scale or 1.0))
    errors[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    errors[~np.isfinite(errors)] = np.inf
    return np.asarray(errors.max(axis=1))


def accuracy(got: Sequence[Array], labels: Array) -> float | None:
    """Share of rows whose class is the label's; None where the outputs name no class, or the labels are none."""
    named = _named_classes(got, len(labels))
    if named is None or (labels.dtype.kind == "f" and not np.all(labels == np.round(labels))):
        return None
    if _is_text(named) or _is_text(labels):
        return float((named.astype(str) == labels.astype(str)).mean())
    return float((named.astype(np.float64) == labels.astype(np.float64)).mean())


def is_constant(got: Sequence[Array]) -> bool:
    """Whether every output is the same for every row."""
    return all(len(one) > 1 and bool(_same_rows(one, np.broadcast_to(one[:1], one.shape)).all()) for one in got)


def has_no_number(got: Array) -> bool:
    return _is_float(got) and bool(np.isnan(got).any())


def _errors(got: Sequence[Array], wanted: Sequence[Array]) -> Array:
    errors = [relative_errors(one, other) for one, other in zip(got, wanted, strict=True) if _is_float(one)]
    return np.max(errors, axis=0) if errors else np.zeros(len(got[0]))


def _same_class(got: Sequence[Array], wanted: Sequence[Array], within: Array) -> Array:
    tables = [(one, other) for one, other in zip(got, wanted, strict=True) if _is_table(one)]
    if not tables:
        return within
    same = _all(one.argmax(axis=1) == other.reshape(one.shape).argmax(axis=1) for one, other in tables)
    return np.asarray(within | same)


def _named_classes(got: Sequence[Array], count: int) -> Array | None:
    for one in got:
        if not _is_float(one) and one.size == count:
            return one.reshape(-1)
    for one in got:
        if _is_table(one) and len(one) == count:
            return np.asarray(one.argmax(axis=1))
    return None


def _same_rows(got: Array, wanted: Array) -> Array:
    one, other = _rows(got), _rows(wanted)
    if _is_text(one):
        return np.asarray((one.astype(str) == other.astype(str)).all(axis=1))
    return np.asarray((one == other).all(axis=1))


def _all(rows: Iterable[Array]) -> Array:
    return np.asarray(np.all(np.stack(list(rows)), axis=0))


def _rows(array: Array) -> Array:
    return array.reshape(len(array), -1)


def _is_table(array: Array) -> bool:
    return _is_float(array) and array.ndim == _TABLE and array.shape[1] > 1


def _is_float(array: Array) -> bool:
    return array.dtype.kind == "f"


def _is_text(array: Array) -> bool:
    return array.dtype.kind in "OUS"
