"""Failures of a conversion: each says what happened and what to do."""

from forebay_schema.conversion import ConversionFailure, Stage


class ConversionError(Exception):
    """The conversion cannot go on; `failure` is what the result says."""

    def __init__(self, failure: ConversionFailure) -> None:
        super().__init__(f"{failure.cause} {failure.remedy}")
        self.failure = failure


def refusal(stage: Stage, cause: str, remedy: str) -> ConversionFailure:
    """Only a changed order can succeed."""
    return ConversionFailure(stage=stage, cause=cause, remedy=remedy)


def passing(stage: Stage, cause: str, remedy: str) -> ConversionFailure:
    """The same order may succeed later."""
    return ConversionFailure(stage=stage, cause=cause, remedy=remedy, retryable=True)
