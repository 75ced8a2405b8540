"""Runs a converted model on the samples in every way that matters, and compares each with the reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forebay_convert.reports import RefusalError
from forebay_convert.samples import Samples
from forebay_convert.sessions import RunError, Session
from forebay_convert.tensors import Array
from forebay_convert.verification.comparison import Comparison, compare, mismatch

CALL_SIZE = 32
_BATCH_SIZES = (1, 3)
_ROWS_TRIED = 15


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: the answers, how they compare with the reference, and at which batch sizes they are the same."""

    answers: list[Array]
    comparison: Comparison
    deterministic: bool
    batch_sizes: tuple[int, ...]
    batching: bool


def attempt(session: Session, samples: Samples, wanted: Sequence[Array], allowed_error: float) -> Trial:
    """Run all samples twice, and the first ones in small batches.

    Raises:
        RefusalError: the model cannot answer, or its outputs cannot be compared with the reference.
    """
    size, answers = _answers(session, samples)
    found = mismatch(answers, wanted)
    if found is not None:
        raise RefusalError("verify", f"The converted model does not fit its source: {found}.", _REPORT)
    again = session.run_all(samples, size)
    agreed = _agreeing_sizes(session, samples, answers, allowed_error) if samples.batched else ()
    return Trial(
        answers,
        compare(answers, wanted, allowed_error),
        deterministic=all(_identical(one, other) for one, other in zip(answers, again, strict=True)),
        batch_sizes=tuple(sorted({*agreed, min(size, samples.count)})) if samples.batched else (),
        batching=set(agreed) == set(_BATCH_SIZES),
    )


_REPORT = "Export the model to ONNX yourself and give that as the source; if that works, this is a fault of the converter."


def _answers(session: Session, samples: Samples) -> tuple[int, list[Array]]:
    """The answers to all samples, in calls as large as the model takes: the size of a call, and the answers."""
    try:
        return CALL_SIZE, session.run_all(samples, CALL_SIZE)
    except RunError:
        pass
    try:
        return 1, session.run_all(samples, 1)
    except RunError as error:
        raise RefusalError("verify", f"The converted model cannot answer the samples: {error}", _REPORT) from error


def _agreeing_sizes(session: Session, samples: Samples, answers: Sequence[Array], allowed_error: float) -> tuple[int, ...]:
    few = samples.first(_ROWS_TRIED)
    expected = [array[: few.count] for array in answers]
    return tuple(size for size in _BATCH_SIZES if _agrees(session, few, expected, size, allowed_error))


def _agrees(session: Session, samples: Samples, wanted: Sequence[Array], size: int, allowed_error: float) -> bool:
    """Whether the answers do not depend on the size of the batch. A class may differ where its values are as close."""
    try:
        answers = session.run_all(samples, size)
    except RunError:
        return False
    if mismatch(answers, wanted) is not None:
        return False
    return compare(answers, wanted, allowed_error).beyond == 0


def _identical(one: Array, other: Array) -> bool:
    if one.dtype.kind == "f":
        return bool(np.array_equal(one, other, equal_nan=True))
    return bool(np.array_equal(one, other))
