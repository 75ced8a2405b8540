"""Answers of HTTP: status line, header fields and body."""

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    lines = [
        f"HTTP/{'1.0' if http10 else '1.1'} {answer.status} {_REASONS.get(answer.status, '')}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {answer.size}",
        *(f"{name}: {value}" for name, value in answer.extra),
    ]
    if not keep_alive:
        lines.append("Connection: close")
    elif http10:
        lines.append("Connection: keep-alive")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
