"""What a fitted estimator knows about the values of its features, to draw samples from."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forebay_convert.tensors import Array

_SPREAD = 2.0
"""Standard deviations around a mean."""
_TRAINING_ROWS = ("support_vectors_", "_fit_X", "X_train_")
_CENTRES = ("cluster_centers_", "means_", "theta_", "centroids_")
_MARGIN = 0.05
"""How far beyond the known range, as a share of it: thresholds at its ends are passed as well."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Values of one feature: any between `low` and `high`, or one of `choices`."""

    low: float = -_SPREAD
    high: float = _SPREAD
    choices: tuple[object, ...] = ()


def draw_columns(estimator: Any, count: int, rows: int, generator: np.random.Generator) -> list[Array]:
    """One column a feature. Where the estimator keeps rows it was fitted on, half of what is drawn is those."""
    columns = [_draw(feature, rows, generator) for feature in features_of(estimator, count)]
    examples = _examples(estimator, _TRAINING_ROWS)
    if examples is not None and examples.shape[1] == count:
        places = np.arange(0, rows, 2)
        known = examples[generator.integers(len(examples), size=len(places))]
        for column, values in zip(columns, known.T, strict=True):
            column[places] = values
    return columns


def features_of(estimator: Any, count: int) -> list[Feature]:
    """One entry a feature; a plain range around zero where nothing is known."""
    try:
        found = _known(estimator, count)
    except Exception:  # an odd estimator is no reason to fail: the comparison with its own answers is what counts
        found = None
    return found if found is not None and len(found) == count else [Feature()] * count


def _draw(feature: Feature, rows: int, generator: np.random.Generator) -> Array:
    if feature.choices:
        return np.array(feature.choices, dtype=object)[generator.integers(len(feature.choices), size=rows)]
    margin = _MARGIN * (feature.high - feature.low)
    return generator.uniform(feature.low - margin, feature.high + margin, rows)


def _known(estimator: Any, count: int) -> list[Feature] | None:
    for reader in _READERS:
        found = reader(estimator, count)
        if found is not None:
            return found
    return None


def _of_pipeline(estimator: Any, count: int) -> list[Feature] | None:
    """The first step that knows its features; steps that leave them as they are pass the question on."""
    for _, step in getattr(estimator, "steps", None) or ():
        if step is None or step == "passthrough":
            continue
        found = _known(step, count)
        if found is not None or type(step).__name__ not in {"SimpleImputer", "FunctionTransformer", "Normalizer"}:
            return found
    return None


def _of_columns(estimator: Any, count: int) -> list[Feature] | None:
    """A ColumnTransformer: each part knows its own columns."""
    parts = getattr(estimator, "transformers_", None)
    if parts is None:
        return None
    features = [Feature()] * count
    for _, part, columns in parts:
        places = _places(columns, count)
        for place, feature in zip(places, _known(part, len(places)) or [], strict=False):
            features[place] = feature
    return features


def _places(columns: Any, count: int) -> list[int]:
    if isinstance(columns, slice):
        return list(range(count))[columns]
    places = np.atleast_1d(np.asarray(columns))
    if places.dtype == bool:
        places = np.flatnonzero(places)
    return [int(place) for place in places if not isinstance(place, str)] if places.dtype.kind in "iu" else []


def _of_categories(estimator: Any, _: int) -> list[Feature] | None:
    categories = getattr(estimator, "categories_", None)
    return None if categories is None else [Feature(choices=tuple(np.asarray(one).tolist())) for one in categories]


def _of_scaler(estimator: Any, _: int) -> list[Feature] | None:
    scale = getattr(estimator, "scale_", None)
    if getattr(estimator, "data_min_", None) is not None:
        return _between(estimator.data_min_, estimator.data_max_)
    if getattr(estimator, "max_abs_", None) is not None:
        return _between(-np.asarray(estimator.max_abs_), estimator.max_abs_)
    for centre in ("mean_", "center_"):
        middle = getattr(estimator, centre, None)
        if middle is not None and scale is not None:
            return _around(middle, np.asarray(scale))
    return None


def _of_components(estimator: Any, _: int) -> list[Feature] | None:
    """PCA: its mean, and the spread that its components explain."""
    if not all(hasattr(estimator, name) for name in ("mean_", "components_", "explained_variance_")):
        return None
    variance = (np.asarray(estimator.components_) ** 2).T @ np.asarray(estimator.explained_variance_)
    return _around(estimator.mean_, np.sqrt(variance))


def _of_trees(estimator: Any, count: int) -> list[Feature] | None:
    """Thresholds of decision trees, from below the lowest to above the highest."""
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    for feature, threshold in _splits(estimator):
        if 0 <= feature < count:
            low[feature], high[feature] = min(low[feature], threshold), max(high[feature], threshold)
    if not (low <= high).any():
        return None
    room = _room(low, high)
    return [
        Feature(float(below - space), float(above + space)) if below <= above else Feature()
        for below, above, space in zip(low, high, room, strict=True)
    ]


def _room(low: Array, high: Array) -> Array:
    """How far beyond its thresholds each feature is drawn; a feature with a single one as far as the others usually are."""
    spans = high - low
    wide = spans[spans > 0]
    usual = float(np.median(wide)) if wide.size else max(1.0, 0.1 * float(np.abs(low[np.isfinite(low)]).max()))
    return np.where(spans > 0, spans, usual) / 4


def _splits(estimator: Any) -> Iterable[tuple[int, float]]:
    tree = getattr(estimator, "tree_", None)
    if tree is not None:
        yield from zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True)
    for inner in _parts(getattr(estimator, "estimators_", None)):
        yield from _splits(inner)


def _of_bins(estimator: Any, _: int) -> list[Feature] | None:
    """Histogram gradient boosting: the bins' borders."""
    borders = getattr(getattr(estimator, "_bin_mapper", None), "bin_thresholds_", None)
    if borders is None:
        return None
    return [Feature(float(one.min() - 0.5), float(one.max() + 0.5)) if len(one) else Feature() for one in borders]


def _of_examples(estimator: Any, _: int) -> list[Feature] | None:
    """Estimators that keep training rows, or rows like them."""
    rows = _examples(estimator, (*_TRAINING_ROWS, *_CENTRES))
    return None if rows is None else _between(rows.min(axis=0), rows.max(axis=0))


def _examples(estimator: Any, names: Sequence[str]) -> Array | None:
    for name in names:
        rows = getattr(estimator, name, None)
        if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind in "fiu":  # noqa: PLR2004 - rows and features
            return rows
    return None


def _of_counts(estimator: Any, count: int) -> list[Feature] | None:
    """Estimators that only take what is not negative."""
    return [Feature(0.5, 8.0)] * count if hasattr(estimator, "feature_log_prob_") else None


def _of_parts(estimator: Any, count: int) -> list[Feature] | None:
    """An estimator made of others: the first that knows its features."""
    for name in ("best_estimator_", "estimator_", "estimators_", "calibrated_classifiers_", "estimator"):
        for part in _parts(getattr(estimator, name, None)):
            found = _known(part, count)
            if found is not None:
                return found
    return None


def _parts(inner: Any) -> list[Any]:
    """The estimators in an attribute: one, a list, or a table of them."""
    found = inner.ravel().tolist() if isinstance(inner, np.ndarray) else list(inner) if isinstance(inner, list) else [inner]
    return [part for part in found if part is not None and not isinstance(part, str)]


def _between(low: Any, high: Any) -> list[Feature]:
    return [Feature(float(below), float(above)) for below, above in zip(np.ravel(low), np.ravel(high), strict=True)]


def _around(middle: Any, scale: Array) -> list[Feature]:
    return _between(np.asarray(middle) - _SPREAD * scale, np.asarray(middle) + _SPREAD * scale)


_READERS: tuple[Callable[[Any, int], list[Feature] | None], ...] = (
    _of_pipeline,
    _of_columns,
    _of_categories,
    _of_scaler,
    _of_components,
    _of_bins,
    _of_trees,
    _of_examples,
    _of_counts,
    _of_parts,
)
