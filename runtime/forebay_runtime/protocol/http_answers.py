"""Answers of HTTP: status line, header fields and body."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import orjson

from forebay_runtime.protocol.errors import HTTP_STATUS, RequestError, RetryElsewhereError
from forebay_schema import headers

JSON: Final = "application/json"
TEXT: Final = "text/plain"
BINARY: Final = "application/octet-stream"

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`parts` are sent one after the other, uncopied."""

    status: int = 200
    parts: Sequence[bytes | memoryview] = ()
    content_type: str = JSON
    extra: Sequence[tuple[str, str]] = field(default=())

    @property
    def size(self) -> int:
        return sum(len(part) for part in self.parts)


def json_answer(content: Any, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, (orjson.dumps(content),))


def error_body(message: str) -> bytes:
    """Triton's error form."""
    return orjson.dumps({"error": message})


def error_answer(error: RequestError, content_type: str = JSON) -> HttpAnswer:
    """An error as HTTP says it; a retry answer carries its header."""
    extra = ((headers.RETRY, error.reason),) if isinstance(error, RetryElsewhereError) else ()
    return HttpAnswer(HTTP_STATUS[type(error)], (error_body(error.message),), content_type, extra)


def head_of(answer: HttpAnswer, *, http10: bool, keep_alive: bool) -> bytes:
    """Status line and header fields, with the empty line that ends them."""
    # Each version has its own default, which need not be said.
    stays = "keep-alive" if http10 else ""
    connection = stays if keep_alive else "close"
    extra = (*answer.extra, ("Connection", connection)) if connection else tuple(answer.extra)
    return _head("1.0" if http10 else "1.1", answer.status, answer.content_type, answer.size, extra)


# Answers resemble each other: most heads have been written before.
@lru_cache(maxsize=1024)
def _head(version: str, status: int, content_type: str, size: int, extra: tuple[tuple[str, str], ...]) -> bytes:
    lines = [
        f"HTTP/{version} {status} {_REASONS.get(status, '')}",
        f"Content-Type: {content_type}",
        f"Content-Length: {size}",
        *(f"{name}: {value}" for name, value in extra),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
