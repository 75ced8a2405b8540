"""The holder's Unix sockets: each connection from Envoy, turned into calls of the holder."""

import asyncio
import select
from contextlib import suppress
from functools import partial
from typing import Final, cast

from forebay_gateway.holder.answers import Answer
from forebay_gateway.holder.calls import Call, ModelCall, NamedReadyCall, ReadyCall, RequestHead, grpc_call, http_call
from forebay_gateway.holder.grpc_messages import first_string, message_size
from forebay_gateway.holder.holder import Exchange, Holder
from forebay_gateway.holder.http1 import ProtocolError, encode, parse_head, small_body
from forebay_gateway.holder.http2 import Closed, Event, Http2Connection, Opened, Received
from forebay_gateway.holder.queue import Held
from forebay_gateway.settings import Sockets

_BACKLOG = 4096
_LINGER_S = 2.0
_LONGEST_SMALL_MESSAGE = 4096
MOST_KEPT: Final = 256


class Departures:
    """Notices the end of connections that are not read from: asyncio watches only those that are."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._watched: dict[int, asyncio.Transport] = {}
        loop.add_reader(self._epoll.fileno(), self._look)

    def watch(self, descriptor: int, transport: asyncio.Transport) -> None:
        """Abort the connection when the other side has gone."""
        self._watched[descriptor] = transport
        self._epoll.register(descriptor, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def forget(self, descriptor: int, transport: asyncio.Transport) -> None:
        # The number may belong to another connection by now: that one stays.
        if self._watched.get(descriptor) is transport:
            del self._watched[descriptor]
            # A closed descriptor has left by itself.
            with suppress(OSError):
                self._epoll.unregister(descriptor)

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _look(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            transport = self._watched.get(descriptor)
            if transport:
                self.forget(descriptor, transport)
                transport.abort()


class Kept:
    """How many connections wait for another request: each takes descriptors that held ones may need."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def take(self) -> bool:
        """One more, if there is room."""
        if self._count >= self._most:
            return False
        self._count += 1
        return True

    def give_back(self) -> None:
        self._count -= 1


class HttpConnection(asyncio.Protocol):
    """HTTP/1.1 requests, one after the other. One with a long body, which is not read while it is held, is the last."""

    def __init__(self, holder: Holder, departures: Departures, kept: Kept, may_hold: bool) -> None:
        self._holder = holder
        self._may_hold = may_hold
        self._departures = departures
        self._kept = kept
        self._transport = cast(asyncio.Transport, None)
        self._descriptor = -1
        self._input = bytearray()
        self._seen = False
        self._is_head = False
        self._held: Held[Exchange] | None = None
        self._unread: int | None = 0
        """Bytes of a small body that are still to come; None if it is none."""
        self._waits = False
        """For another request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._descriptor = self._transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        if self._seen:
            self._drop_body(len(data))
            return
        self._input += data
        try:
            parsed = parse_head(self._input)
        except ProtocolError:
            self._transport.abort()
            return
        if parsed:
            head, length = parsed
            received = len(self._input) - length
            self._input.clear()
            self._begin(head, received)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._departures.forget(self._descriptor, self._transport)
        self._stop_waiting()
        if self._held:
            self._holder.depart(self._held)

    def answer(self, answer: Answer) -> None:
        self._held = None
        self._departures.forget(self._descriptor, self._transport)
        if self._transport.is_closing():
            return
        self._waits = self._unread == 0 and not self._holder.is_leaving and self._kept.take()
        self._transport.write(encode(answer, with_body=not self._is_head, is_last=not self._waits))
        self._seen = not self._waits
        if not self._waits:
            self._read_on()

    def _read_on(self) -> None:
        """Until Envoy closes: were we to close first, Envoy would see a broken pipe, not the answer."""
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(_LINGER_S, self._transport.abort)

    def _begin(self, head: RequestHead, received: int) -> None:
        self._seen = True
        self._stop_waiting()
        self._unread = small_body(head)
        self._drop_body(received)
        self._on_request(head)

    def _stop_waiting(self) -> None:
        if self._waits:
            self._waits = False
            self._kept.give_back()

    def _drop_body(self, length: int) -> None:
        """So much was received of the body, or behind it, which Envoy never sends."""
        if self._unread is not None:
            self._unread = self._unread - length if self._unread >= length else None

    def _on_request(self, head: RequestHead) -> None:
        self._is_head = head.method == "HEAD"
        call = http_call(head, self._holder.default_namespace)
        if not (isinstance(call, ModelCall) and self._may_hold):
            self.answer(_immediate(self._holder, call))
            return
        if self._unread is None:
            self._transport.pause_reading()
        self._held = self._holder.arrive(call, head, self)
        if self._held and self._unread is None:
            self._departures.watch(self._descriptor, self._transport)


class GrpcStream:
    """One gRPC request on a connection."""

    def __init__(self, connection: "GrpcConnection", stream: int, head: RequestHead) -> None:
        self._connection = connection
        self._stream = stream
        self._holder = connection.holder
        self._start = bytearray()
        self._sized = head.path.endswith("/ModelStreamInfer")
        self._held: Held[Exchange] | None = None
        self.is_answered = False
        self._call = grpc_call(head)
        self._open(head)

    def answer(self, answer: Answer) -> None:
        self._held = None
        self.is_answered = True
        self._connection.answer(self._stream, answer)

    def received(self, data: bytes, *, ended: bool) -> None:
        if len(self._start) < _LONGEST_SMALL_MESSAGE:
            self._start += data
        if isinstance(self._call, NamedReadyCall) and ended:
            call = self._call.resolve(first_string(bytes(self._start)), self._holder.default_namespace)
            self.answer(_immediate(self._holder, call))
        elif self._held and not self._sized:
            self._learn_size()

    def departed(self) -> None:
        if self._held:
            self._holder.depart(self._held)

    def _open(self, head: RequestHead) -> None:
        if isinstance(self._call, ModelCall) and self._connection.may_hold:
            self._held = self._holder.arrive(self._call, head, self)
        elif isinstance(self._call, NamedReadyCall) and not head.ended:
            pass
        else:
            self.answer(_immediate(self._holder, self._call))

    def _learn_size(self) -> None:
        """A unary request tells its length in its first bytes; a stream keeps the reserve it was charged."""
        size = message_size(bytes(self._start))
        if size is not None and self._held:
            self._sized = True
            self._holder.learn_size(self._held, size)


class GrpcConnection(asyncio.Protocol):
    """An HTTP/2 connection with many gRPC requests."""

    def __init__(self, holder: Holder, may_hold: bool) -> None:
        self.holder = holder
        self.may_hold = may_hold
        self._transport = cast(asyncio.Transport, None)
        self._http2 = Http2Connection()
        self._streams: dict[int, GrpcStream] = {}
        self._flushing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._http2.receive(data)
        except ProtocolError:
            self._transport.abort()
            return
        for event in events:
            self._dispatch(event)
        self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        for stream in self._streams.values():
            stream.departed()
        self._streams.clear()

    def answer(self, stream: int, answer: Answer) -> None:
        self._streams.pop(stream, None)
        self._http2.answer(stream, answer)
        self._flush_soon()

    def _dispatch(self, event: Event) -> None:
        match event:
            case Opened(number, head):
                stream = GrpcStream(self, number, head)
                # Also one that was given up in the same breath: that is told next.
                if not stream.is_answered:
                    self._streams[number] = stream
            case Received(number, data, ended):
                if number in self._streams:
                    self._streams[number].received(data, ended=ended)
            case Closed(number):
                if number in self._streams:
                    self._streams.pop(number).departed()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        output = self._http2.take_output()
        if output and not self._transport.is_closing():
            self._transport.write(output)


async def serve_http(
    holder: Holder, departures: Departures, sockets: Sockets, most_kept: int = MOST_KEPT
) -> list[asyncio.Server]:
    """Serve the sockets of HTTP/1.1: one whose requests may wait, one for those without a cluster.

    `most_kept`: connections that may wait for another request.
    """
    loop = asyncio.get_running_loop()
    kept = Kept(most_kept)
    hold, answer = (partial(HttpConnection, holder, departures, kept, may_hold) for may_hold in (True, False))
    return [
        await loop.create_unix_server(hold, sockets.holder("h"), backlog=_BACKLOG),
        await loop.create_unix_server(answer, sockets.answers("h"), backlog=_BACKLOG),
    ]


async def serve_grpc(holder: Holder, sockets: Sockets) -> list[asyncio.Server]:
    """The same for gRPC."""
    loop = asyncio.get_running_loop()
    hold, answer = partial(GrpcConnection, holder, True), partial(GrpcConnection, holder, False)
    return [
        await loop.create_unix_server(hold, sockets.holder("g"), backlog=_BACKLOG),
        await loop.create_unix_server(answer, sockets.answers("g"), backlog=_BACKLOG),
    ]


def _immediate(holder: Holder, call: Call) -> Answer:
    """The answer to a call that nothing waits for."""
    match call:
        case Answer():
            return call
        case ReadyCall():
            return holder.ready_answer(call)
        case NamedReadyCall():
            return _immediate(holder, call.resolve("", holder.default_namespace))
        case ModelCall():
            return holder.turn_away(call)
