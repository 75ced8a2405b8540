import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.worlds.kubernetes.page_client import PageConnection, PageError, cut, request


def _answer(body: bytes, *, chunks: list[int] | None = None) -> bytes:
    if chunks is None:
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    parts, at = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], 0
    for size in chunks:
        part = body[at : at + size]
        if part:
            parts.append(b"%x;a=b\r\n%s\r\n" % (len(part), part))
        at += size
    rest = body[at:]
    if rest:
        parts.append(b"%x\r\n%s\r\n" % (len(rest), rest))
    return b"".join([*parts, b"0\r\n\r\n"])


@given(st.binary(max_size=200), st.none() | st.lists(st.integers(1, 50), max_size=5), st.binary(max_size=20))
def test_an_answer_is_cut_off_once_it_is_whole_and_not_before(body: bytes, chunks: list[int] | None, rest: bytes) -> None:
    whole = _answer(body, chunks=chunks)
    assert cut(whole + rest) == (200, body, rest)
    for length in range(0, len(whole), 7):
        assert cut(whole[:length]) is None


@pytest.mark.parametrize("text", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_is_no_answer_of_known_length_is_refused(text: bytes) -> None:
    with pytest.raises(PageError):
        cut(text)


async def test_a_page_is_asked_for_again_over_the_same_connection() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
            asked.append(head)
            writer.write(_answer(b"page %d" % len(asked)))
            if len(asked) == 3:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    received: asyncio.Queue[bytes] = asyncio.Queue()
    lost = asyncio.Event()
    port = server.sockets[0].getsockname()[1]
    async with server:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: PageConnection(request("GET", "/metrics", "here", {}), received.put_nowait, lost.set), "127.0.0.1", port
        )
        for number in (1, 2, 3):
            connection.ask()
            assert await asyncio.wait_for(received.get(), 20) == b"page %d" % number
        await asyncio.wait_for(lost.wait(), 20)
    assert len(asked) == 3


async def test_an_answer_that_is_an_error_ends_the_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    received: list[bytes] = []
    lost = asyncio.Event()
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: PageConnection(request("GET", "/metrics", "here", {}), received.append, lost.set), "127.0.0.1", port
        )
        connection.ask()
        await asyncio.wait_for(lost.wait(), 20)
    assert received == []
