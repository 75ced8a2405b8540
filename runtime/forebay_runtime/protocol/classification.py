"""Triton's classification extension: the best classes of each row as text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from forebay_runtime.protocol.datatypes import BYTES, Datatype
from forebay_runtime.protocol.errors import InvalidArgumentError


def check(datatype: Datatype, output_name: str) -> None:
    """Refuse what has no order, or no text form in Triton.

    Raises:
        InvalidArgumentError: classes of this output cannot be had.
    """
    if datatype is BYTES or datatype.name in ("BOOL", "FP16", "BF16"):
        raise InvalidArgumentError(f"class result not available for output '{output_name}' due to unsupported type")


def classify(values: npt.NDArray[Any], count: int, labels: Sequence[str], *, batched: bool) -> npt.NDArray[Any]:
    """The `count` largest values of each row as `value:index[:label]`, largest first."""
    rows = values.reshape(values.shape[0], -1) if batched else values.reshape(1, -1)
    best = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :count]
    texts = [[_text(row[index], int(index), labels) for index in order] for row, order in zip(rows, best, strict=True)]
    result = np.array(texts, dtype=object).reshape(len(rows), -1)
    return result if batched else result.reshape(-1)


def _text(value: Any, index: int, labels: Sequence[str]) -> str:
    number = f"{value:f}" if np.issubdtype(type(value), np.floating) else str(value)
    return f"{number}:{index}:{labels[index]}" if index < len(labels) else f"{number}:{index}"
