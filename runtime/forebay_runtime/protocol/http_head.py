"""The head of an HTTP/1.x request: request line and header fields, read strictly by llhttp."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import httptools

MAX_HEAD_BYTES: Final = 32 << 10
_LONGEST_KEPT: Final = 2048


class HttpSyntaxError(ValueError):
    """Not HTTP, or HTTP that could be read in two ways."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """`headers` has lower-case names; a name that came twice has its values joined by commas."""

    method: str
    target: str
    path: str
    """The target without its query. It is not percent-decoded, as in Triton."""
    headers: Mapping[str, str]
    http10: bool
    keep_alive: bool
    content_length: int
    chunked: bool
    expects_continue: bool


class _Fields:
    """What llhttp reports while it reads."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.parser: Any = None
        self.complete = False
        self.keep_alive = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        self.complete = True
        # Asked for now: llhttp forgets it when the message is complete, and one without a body is at once.
        self.keep_alive = self.parser.should_keep_alive()


def parse(head: bytes) -> RequestHead:
    """Read a head, up to and including its empty line.

    Clients repeat themselves: a head that was just seen is not read again.

    Raises:
        HttpSyntaxError: it is malformed, or its body's length can be read in two ways.
    """
    return _kept(head) if len(head) <= _LONGEST_KEPT else _parse(head)


def _parse(head: bytes) -> RequestHead:
    fields = _Fields()
    parser = fields.parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        # We speak nothing to upgrade to; the request is answered as it is.
        pass
    except httptools.HttpParserError as error:
        raise HttpSyntaxError(f"malformed HTTP request: {error}") from None
    if not fields.complete:
        raise HttpSyntaxError("malformed HTTP request: it ends within its header fields")
    return _head(fields, parser)


def _head(fields: _Fields, parser: httptools.HttpRequestParser) -> RequestHead:
    headers = fields.headers
    coding = headers.get("transfer-encoding", "").lower()
    if coding not in ("", "chunked"):
        raise HttpSyntaxError(f"unsupported transfer-encoding '{coding}', expected chunked")
    target = fields.url.decode("latin-1")
    return RequestHead(
        method=parser.get_method().decode("latin-1"),
        target=target,
        path=target.partition("?")[0],
        headers=headers,
        http10=parser.get_http_version() == "1.0",
        keep_alive=fields.keep_alive,
        content_length=int(headers.get("content-length", "0")),
        chunked=bool(coding),
        expects_continue=headers.get("expect", "").lower() == "100-continue",
    )


_kept = lru_cache(maxsize=512)(_parse)
