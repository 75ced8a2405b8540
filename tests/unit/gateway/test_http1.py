import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.holder.answers import LET_GO, READY, unknown_model
from forebay_gateway.holder.http1 import LONGEST_HEAD, ProtocolError, encode, parse_head, small_body

REQUEST = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: digits.team-a\r\nContent-Length: 12\r\n\r\n"


def test_a_head_is_parsed_once_it_is_complete() -> None:
    for length in range(len(REQUEST)):
        assert parse_head(REQUEST[:length]) is None
    parsed = parse_head(REQUEST + b"body")
    assert parsed
    head, length = parsed
    assert (head.method, head.path, head.authority) == ("POST", "/v2/models/digits/infer", "digits.team-a")
    assert head.headers == {"host": "digits.team-a", "content-length": "12"}
    assert length == len(REQUEST)


@pytest.mark.parametrize(
    ("header", "ended"),
    [("content-length: 0", True), ("x: y", True), ("content-length: 3", False), ("transfer-encoding: chunked", False)],
)
def test_a_request_without_a_body_is_known_by_its_head(header: str, ended: bool) -> None:
    parsed = parse_head(f"GET / HTTP/1.1\r\n{header}\r\n\r\n".encode())
    assert parsed
    assert parsed[0].ended is ended


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"x" * (LONGEST_HEAD + 1)])
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_head(data)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_parsed_or_refused(data: bytes) -> None:
    try:
        parse_head(data + b"\r\n\r\n")
    except ProtocolError:
        return


def test_an_error_is_answered_in_triton_s_form() -> None:
    head, _, body = encode(unknown_model("x")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert json.loads(body) == {"error": "Request for unknown model: 'x' is not found"}
    assert f"content-length: {len(body)}".encode() in head
    assert b"content-type: application/json" in head


def test_head_is_answered_without_the_body() -> None:
    assert encode(unknown_model("x"), with_body=False).endswith(b"\r\nconnection: close\r\n\r\n")


def test_the_last_answer_of_a_connection_says_so() -> None:
    assert b"connection: close" in encode(READY)
    assert b"connection" not in encode(READY, is_last=False)
    assert b"\r\nx-forebay-retry: held\r\n" in encode(LET_GO)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ("x: y", 0),
        ("content-length: 3", 3),
        ("content-length: 16384", 16384),
        ("content-length: 16385", None),
        ("content-length: 9" + 5000 * "9", None),
        ("content-length: -3", None),
        ("transfer-encoding: chunked", None),
        ("content-length: 3\r\ntransfer-encoding: chunked", None),
    ],
    ids=["none", "small", "just small", "large", "absurd", "negative", "chunked", "both"],
)
def test_a_small_body_of_known_length_is_worth_reading(fields: str, size: int | None) -> None:
    parsed = parse_head(f"POST / HTTP/1.1\r\n{fields}\r\n\r\n".encode())
    assert parsed
    assert small_body(parsed[0]) == size
