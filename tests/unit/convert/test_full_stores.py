"""What a store says that has no room, in our words."""

import errno
import os

import pytest

from forebay_convert.publishing import unusable


class AnswerError(Exception):
    """As clients of S3 raise it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class OtherAnswerError(Exception):
    """As clients of other stores raise it: what they keep under that name is an object of theirs."""

    response = object()


def _raised_by_a_client(answer: Exception) -> Exception:
    """File systems over S3 raise their own error from what the server said."""
    error = OSError(errno.EIO, "it did not work")
    error.__cause__ = answer
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        AnswerError(507, "Anything"),
        _raised_by_a_client(AnswerError(507, "XMinioStorageFull")),
        _raised_by_a_client(AnswerError(403, "QuotaExceeded")),
    ],
    ids=repr,
)
def test_a_full_store_is_called_full(error: Exception) -> None:
    failure = unusable("s3://bucket/models", error)
    assert "The store at s3://bucket/models is full" in failure.cause
    assert failure.retryable


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "denied"), AnswerError(500, "InternalError"), OtherAnswerError("no")], ids=repr
)
def test_another_trouble_is_not(error: Exception) -> None:
    failure = unusable("s3://bucket/models", error)
    assert "cannot be used" in failure.cause
    assert "has room" in failure.remedy
