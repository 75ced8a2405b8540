"""As much of HTTP/1.1 as the holder needs for its one client, our Envoy: one request at a time."""

from http import HTTPStatus

from forebay_gateway.holder.answers import Answer
from forebay_gateway.holder.calls import RequestHead

LONGEST_HEAD = 128 << 10
"""Bytes; Envoy accepts 60 KiB from clients and adds some."""


_LONGEST_SMALL_BODY = 16 << 10
"""Bytes that are read, to be dropped, so that another request can come over the same connection."""


class ProtocolError(ValueError):
    """The other side does not keep to the protocol: the connection is closed."""


def parse_head(data: bytes | bytearray) -> tuple[RequestHead, int] | None:
    """The request's head and its length in bytes, or None while it is not complete.

    Raises:
        ProtocolError: this is no HTTP/1.1, or the head is too long.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > LONGEST_HEAD:
            raise ProtocolError("the request's head is too long")
        return None
    request_line, *lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    parts = request_line.split(" ")
    if len(parts) != 3:  # noqa: PLR2004  (method, path, version)
        raise ProtocolError(f"no request line: {request_line[:100]!r}")
    fields = dict(_field(line) for line in lines)
    ended = fields.get("content-length", "0") == "0" and "transfer-encoding" not in fields
    head = RequestHead(method=parts[0], path=parts[1], authority=fields.get("host", ""), headers=fields, ended=ended)
    return head, end + 4


def small_body(head: RequestHead) -> int | None:
    """The length in bytes of a body that is worth reading to keep the connection; None of one that is left unread."""
    if head.ended:
        return 0
    text = head.headers.get("content-length", "")
    known = text.isdecimal() and len(text) <= len(str(_LONGEST_SMALL_BODY)) and "transfer-encoding" not in head.headers
    return int(text) if known and int(text) <= _LONGEST_SMALL_BODY else None


def encode(answer: Answer, *, with_body: bool = True, is_last: bool = True) -> bytes:
    """The whole response, without its body for HEAD. The last of a connection says so."""
    body = answer.http_body()
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        *(f"{name}: {value}" for name, value in answer.headers),
        *(["content-type: application/json"] if body else []),
        f"content-length: {len(body)}",
        *(["connection: close"] if is_last else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body if with_body else b"")


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ProtocolError(f"no header: {line[:100]!r}")
    return name.lower(), value.strip()
