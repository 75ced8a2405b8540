"""HTTP heads, chunked bodies and compression."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_runtime.protocol import compression, http_answers, http_head
from forebay_runtime.protocol.errors import InvalidArgumentError, RetryElsewhereError, UnsupportedError
from forebay_runtime.protocol.http_answers import HttpAnswer
from forebay_runtime.protocol.http_chunks import BodyTooLargeError, ChunkDecoder, ChunkError
from forebay_runtime.protocol.http_head import HttpSyntaxError


def head(*lines: str, first: str = "POST /v2/models/m/infer?x=1 HTTP/1.1") -> bytes:
    return "\r\n".join([first, *lines, "", ""]).encode()


def test_a_head_is_read() -> None:
    read = http_head.parse(head("Host: h", "Content-Length: 12", "X-Twice: a", "x-twice: b", "Expect: 100-Continue"))
    assert (read.method, read.target, read.path) == ("POST", "/v2/models/m/infer?x=1", "/v2/models/m/infer")
    assert (read.content_length, read.chunked, read.keep_alive, read.expects_continue) == (12, False, True, True)
    assert read.headers["x-twice"] == "a, b"


@pytest.mark.parametrize(
    ("lines", "first", "keep_alive"),
    [
        ((), "GET / HTTP/1.1", True),
        (("Connection: close",), "GET / HTTP/1.1", False),
        ((), "GET / HTTP/1.0", False),
        (("Connection: keep-alive",), "GET / HTTP/1.0", True),
    ],
)
def test_who_stays_connected(lines: tuple[str, ...], first: str, keep_alive: bool) -> None:
    assert http_head.parse(head(*lines, first=first)).keep_alive is keep_alive


@pytest.mark.parametrize(
    "broken",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        head("no colon"),
        head("Host : h"),
        head("Content-Length: -1"),
        head("Content-Length: 1", "Content-Length: 2"),
        head("Content-Length: 1", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: gzip"),
        head("Host: h")[:-2],
        head("A: \x00"),
    ],
)
def test_what_is_no_http_is_refused(broken: bytes) -> None:
    with pytest.raises(HttpSyntaxError):
        http_head.parse(broken)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        http_head.parse(data + b"\r\n\r\n")
    except HttpSyntaxError:
        return


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


@given(st.lists(st.binary(max_size=50), max_size=8), st.binary(max_size=20), st.integers(1, 30))
def test_chunks_are_put_together_however_they_arrive(pieces: list[bytes], behind: bytes, step: int) -> None:
    stream = chunked(pieces) + behind
    decoder = ChunkDecoder(max_bytes=1000)
    buffer, sent, taken = b"", 0, 0
    while not decoder.done:
        buffer += stream[sent : sent + step]
        sent += step
        used = decoder.feed(buffer)
        buffer, taken = buffer[used:], taken + used
    assert bytes(decoder.body) == b"".join(pieces)
    assert stream[taken:] == behind


@pytest.mark.parametrize("data", [b"x\r\n", b"-1\r\n", b"1\r\nab", b"1\r\na\r\nzz\r\n", b"0x1\r\n", b"1 1\r\n", b"a" * 9000])
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(ChunkError):
        ChunkDecoder(100).feed(data + b"\r\n")


def test_a_chunked_body_has_a_limit() -> None:
    with pytest.raises(BodyTooLargeError):
        ChunkDecoder(10).feed(b"6\r\nabcdef\r\n6\r\n")


@given(st.binary(max_size=500), st.sampled_from(["gzip", "deflate"]))
def test_compressed_bodies_come_back(body: bytes, coding: str) -> None:
    chosen = compression.chosen(coding)
    assert chosen is not None
    assert compression.decompress(memoryview(compression.compress([body], chosen)), coding, 500) == body


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.2, deflate;q=0.8", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=lots", None),
    ],
)
def test_the_coding_of_an_answer(accepted: str, coding: str | None) -> None:
    assert compression.chosen(accepted) == coding


def test_what_cannot_be_decompressed_is_refused() -> None:
    packed = gzip.compress(b"x" * 1000)
    with pytest.raises(InvalidArgumentError, match="exceeds the maximum allowed input size of 999 bytes"):
        compression.decompress(memoryview(packed), "gzip", 999)
    with pytest.raises(InvalidArgumentError, match="no complete gzip"):
        compression.decompress(memoryview(packed + packed), "gzip", 10_000)
    with pytest.raises(InvalidArgumentError, match="is no deflate data"):
        compression.decompress(memoryview(zlib.compress(b"x")[2:]), "deflate", 10)
    with pytest.raises(UnsupportedError):
        compression.decompress(memoryview(b""), "zstd", 10)


def test_an_answers_head_says_its_size_and_whether_the_connection_stays() -> None:
    answer = HttpAnswer(200, (b"ab", b"c"))
    assert http_answers.head_of(answer, http10=False, keep_alive=True) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n"
    )
    assert b"HTTP/1.0 200 OK" in http_answers.head_of(answer, http10=True, keep_alive=True)
    assert b"Connection: close" in http_answers.head_of(answer, http10=False, keep_alive=False)


def test_a_retry_answer_carries_its_reason() -> None:
    answer = http_answers.error_answer(RetryElsewhereError("not here", "draining"))
    assert (answer.status, dict(answer.extra)) == (503, {"x-forebay-retry": "draining"})
