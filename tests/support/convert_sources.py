"""Honest sources and samples for conversions, made by the libraries that users make them with."""

from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Array = npt.NDArray[Any]
TRAINED_ON = 900


@cache
def digits() -> tuple[Array, Array]:
    """1797 pictures of 8 x 8, and the digit that each shows."""
    pictures, labels = load_digits(return_X_y=True)
    return pictures.astype(np.float32), labels


@cache
def digits_classifier() -> Any:
    pictures, labels = digits()
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(pictures[:TRAINED_ON], labels[:TRAINED_ON])


def digits_file(folder: Path) -> Path:
    path = folder / "digits.joblib"
    joblib.dump(digits_classifier(), path)
    return path


def digits_samples(folder: Path, *, labels: Array | None = None) -> Path:
    """The pictures that the classifier was not trained on, with their labels or with others."""
    pictures, known = digits()
    path = folder / "samples.npz"
    np.savez(path, input=pictures[TRAINED_ON:], labels=known[TRAINED_ON:] if labels is None else labels)
    return path
