"""One HTTP/1.x connection: bodies are received straight into their final buffer, answers go out in order.

One request at a time is answered; what a client sends ahead waits in the buffer, and beyond that in the socket.
"""

import asyncio
import fcntl
import sys
import termios
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, cast

import numpy as np

from forebay_runtime.protocol import http_head
from forebay_runtime.protocol.compression import too_large
from forebay_runtime.protocol.errors import InvalidArgumentError, RequestError, UnavailableError
from forebay_runtime.protocol.http_answers import HttpAnswer, error_answer, head_of
from forebay_runtime.protocol.http_chunks import BodyTooLargeError, ChunkDecoder, ChunkError
from forebay_runtime.protocol.http_head import MAX_HEAD_BYTES, HttpSyntaxError, RequestHead
from forebay_runtime.server.head_buffers import NO_BUFFER, HeadBuffers
from forebay_runtime.service.request_memory import RequestMemory
from forebay_schema import headers

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER_S: Final = 2.0
_ALIGNMENT: Final = 64
_MOST_DIGITS: Final = 18
_LEAST_PROGRESS: Final = 4 << 10
"""Bytes between two looks at a connection. Clients on the slowest of lines do better."""
_IN_A_ROW: Final = 8
_NOTHING: Final = memoryview(b"")


class Exchange:
    """One request and its answer. `answer` may come at any time, once; after the client went away it does nothing."""

    __slots__ = ("_connection", "body", "head", "on_gone")

    def __init__(self, connection: "HttpConnection", head: RequestHead, body: memoryview) -> None:
        self._connection = connection
        self.head = head
        self.body = body
        self.on_gone: Callable[[], object] | None = None
        """Called when the client goes away before the answer."""

    def answer(self, answer: HttpAnswer) -> None:
        self.on_gone = None
        self.body = _NOTHING
        self._connection.finish(self, answer)


class HttpService(Protocol):
    """What answers."""

    @property
    def max_body_bytes(self) -> int: ...
    @property
    def closing(self) -> bool:
        """Whether connections are to be closed after their next answer."""
        ...

    def handle(self, exchange: Exchange) -> None: ...


class _State(NamedTuple):
    """How far a connection has come; the numbers are of requests begun, bytes received, and bytes of answers to send."""

    requests: int
    receiving: bool
    received: int
    unsent: int


class HttpConnection(asyncio.BufferedProtocol):
    def __init__(
        self, service: HttpService, open_connections: "set[HttpConnection]", memory: RequestMemory, buffers: HeadBuffers
    ) -> None:
        self._service = service
        self._open = open_connections
        self._memory = memory
        self._buffers = buffers
        self._taken = 0
        self._received_bytes = 0
        self._requests = 0
        self._seen = _State(0, False, 0, 0)
        self._transport: asyncio.Transport
        self._held = NO_BUFFER
        self._filled = 0
        self._head: RequestHead | None = None
        self._body: memoryview | None = None
        self._body_filled = 0
        self._chunks: ChunkDecoder | None = None
        self._exchange: Exchange | None = None
        self._may_write = True
        self._reading_paused = False
        self._discarding = False
        self._advancing_soon = False

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._open.discard(self)
        self._give_memory()
        self._give_buffer()
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.on_gone is not None:
            exchange.on_gone()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        if self._body is not None and not self._discarding:
            return self._body[self._body_filled :]
        if self._held is NO_BUFFER:
            self._held = self._buffers.take()
        return self._held.view if self._discarding else self._held.view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._received_bytes += nbytes
        if self._discarding:
            return
        if self._body is None:
            self._filled += nbytes
            self._advance()
            return
        self._body_filled += nbytes
        if self._body_filled == len(self._body):
            self._begin(self._body)

    def eof_received(self) -> bool | None:
        # A client that has closed its side is taken to be gone, as Triton does.
        return None

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._advance()

    # The service calls these.

    def finish(self, exchange: Exchange, answer: HttpAnswer) -> None:
        """Send the answer of the current request, and go on with what the client has sent meanwhile."""
        if exchange is not self._exchange or self._transport.is_closing():
            return
        self._exchange = None
        self._give_memory()
        keep_alive = exchange.head.keep_alive and not self._service.closing
        self._send(answer, exchange.head, keep_alive=keep_alive)
        if not keep_alive:
            self._transport.close()
            return
        if self._filled:
            # Not from here: this may be called from within `_advance`.
            self._advance_soon()

    @property
    def receiving(self) -> bool:
        """Whether a request is there in part, or waits for the one before it."""
        return self._head is not None or self._filled > 0

    @property
    def sending(self) -> bool:
        """Whether the client has not taken all of an answer yet."""
        return self._transport.get_write_buffer_size() > 0

    @property
    def idle(self) -> bool:
        return self._exchange is None and not self.receiving

    def let_go_if_stalled(self) -> None:
        """Called now and then: drop a client that since the last call has hardly sent more of the same request, or taken
        more of its answer.
        """
        before, now = self._seen, self._state()
        self._seen = now
        if before.requests == now.requests:
            slow_sender = before.receiving and now.receiving and now.received - before.received < _LEAST_PROGRESS
            slow_reader = now.unsent > 0 and before.unsent > 0 and before.unsent - now.unsent < _LEAST_PROGRESS
            if slow_sender or slow_reader:
                self._transport.abort()

    def _state(self) -> "_State":
        receiving = self.receiving and self._exchange is None
        return _State(self._requests, receiving, self._received_bytes, self._unsent())

    def _unsent(self) -> int:
        """Bytes of answers that the client's machine has not acknowledged; 0 where the kernel has taken all of them.

        What asyncio keeps says little alone: the kernel takes more of it only once a third of its own buffer is free.
        """
        kept = self._transport.get_write_buffer_size()
        if not kept:
            return 0
        try:
            return kept + _in_kernel(self._transport.get_extra_info("socket").fileno())
        except (OSError, ValueError):
            # It is being closed.
            return 0

    def close(self) -> None:
        """Close once what was written is sent."""
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # Reading.

    def _advance(self) -> None:
        """Begin the next request if it is there as a whole; after a few the event loop's other work comes first."""
        self._advancing_soon = False
        last = self._requests + _IN_A_ROW
        while self._filled and self._may_write and self._exchange is None and self._body is None:
            if self._requests >= last:
                self._advance_soon()
                break
            if self._transport.is_closing() or self._discarding:
                return
            try:
                progressed = self._read_chunks() if self._chunks else self._read_head()
            except (HttpSyntaxError, ChunkError) as error:
                self._refuse(InvalidArgumentError(str(error)))
                return
            except BodyTooLargeError:
                self._refuse(too_large(self._service.max_body_bytes))
                return
            except UnavailableError as error:
                self._refuse(error)
                return
            if not progressed:
                break
        self._pace_reading()

    def _advance_soon(self) -> None:
        if not self._advancing_soon:
            self._advancing_soon = True
            asyncio.get_running_loop().call_soon(self._advance)

    def _pace_reading(self) -> None:
        """What does not fit into the buffer waits in the socket."""
        full = self._filled == MAX_HEAD_BYTES
        if full and not self._reading_paused:
            self._transport.pause_reading()
        elif self._reading_paused and not full:
            self._transport.resume_reading()
        self._reading_paused = full

    def _read_head(self) -> bool:
        start = 2 if self._held.data.startswith(b"\r\n") else 0
        end = self._held.data.find(b"\r\n\r\n", start, self._filled)
        if end < 0:
            if self._filled == MAX_HEAD_BYTES:
                raise HttpSyntaxError(f"the request's header fields are larger than {MAX_HEAD_BYTES} bytes")
            return False
        head = http_head.parse(bytes(self._held.view[start : end + 4]))
        self._consume(end + 4)
        self._head = head
        if head.content_length > self._service.max_body_bytes:
            raise BodyTooLargeError
        self._take_memory(head.content_length)
        if head.expects_continue and (self._filled < head.content_length or (head.chunked and not self._filled)):
            self._transport.write(_CONTINUE)
        if head.chunked:
            self._chunks = ChunkDecoder(self._service.max_body_bytes)
        elif head.content_length:
            self._receive(head)
        else:
            self._begin(_NOTHING)
        return True

    def _receive(self, head: RequestHead) -> None:
        """Make the buffer of a body, with what has come already; the rest will be received into it."""
        body = _aligned(head)
        have = min(self._filled, head.content_length)
        body[:have] = self._held.view[:have]
        self._consume(have)
        self._body, self._body_filled = body, have
        if have == head.content_length:
            self._begin(body)

    def _read_chunks(self) -> bool:
        assert self._chunks is not None
        taken = self._chunks.feed(bytes(self._held.view[: self._filled]))
        self._consume(taken)
        self._take_memory(taken)
        if self._chunks.done:
            body, self._chunks = self._chunks.body, None
            self._begin(memoryview(body))
            return True
        return taken > 0

    def _take_memory(self, count: int) -> None:
        self._memory.take(count, retried=self._head is not None and headers.VERSION in self._head.headers)
        self._taken += count

    def _give_memory(self) -> None:
        self._memory.give(self._taken)
        self._taken = 0

    def _consume(self, count: int) -> None:
        rest = self._filled - count
        if rest:
            self._held.data[:rest] = self._held.data[count : self._filled]
        self._filled = rest
        if not rest:
            self._give_buffer()

    def _give_buffer(self) -> None:
        held, self._held = self._held, NO_BUFFER
        if held is not NO_BUFFER:
            self._buffers.give(held)

    def _begin(self, body: memoryview) -> None:
        head, self._head, self._body = self._head, None, None
        assert head is not None
        self._requests += 1
        self._exchange = Exchange(self, head, body)
        self._service.handle(self._exchange)

    # Writing.

    def _send(self, answer: HttpAnswer, head: RequestHead | None, *, keep_alive: bool) -> None:
        http10 = head.http10 if head else False
        first = head_of(answer, http10=http10, keep_alive=keep_alive)
        if head is not None and head.method == "HEAD":
            self._transport.write(first)
        else:
            self._transport.writelines([first, *answer.parts])

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that cannot be read to its end, then close: what follows it is anybody's guess."""
        self._send(error_answer(error), self._head, keep_alive=False)
        self._give_memory()
        self._discarding = True
        # A close with unread data would reset the connection, and the client might never see the answer.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_S, self._transport.close)


def _in_kernel(descriptor: int) -> int:
    """Bytes that were written to a socket and not acknowledged (SIOCOUTQ, which is TIOCOUTQ by another name)."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def _aligned(head: RequestHead) -> memoryview:
    """An uninitialised buffer in which the first tensor behind the JSON header is aligned, so that it needs no copy."""
    described = head.headers.get("inference-header-content-length", "")[:_MOST_DIGITS]
    offset = -int(described) % _ALIGNMENT if described.isdecimal() else 0
    return np.empty(offset + head.content_length, dtype=np.uint8).data[offset:]
