"""Clients that take their answers slowly, by the connection's own view of them."""

import asyncio
import socket

from forebay_runtime.protocol.http_answers import HttpAnswer
from forebay_runtime.server.head_buffers import HeadBuffers
from forebay_runtime.server.http_connection import Exchange, HttpConnection
from forebay_runtime.service.request_memory import RequestMemory

ANSWER_BYTES = 64 << 20
RECEIVED_AHEAD = 64 << 10
"""What a client's kernel receives before the client reads it; the kernel doubles it."""
READ_BETWEEN_LOOKS = 8 * RECEIVED_AHEAD


class Answers:
    """Answers every request by more than the kernel takes."""

    max_body_bytes = 0
    closing = False

    def handle(self, exchange: Exchange) -> None:
        exchange.answer(HttpAnswer(200, (bytes(ANSWER_BYTES),)))


async def read(client: socket.socket, count: int) -> None:
    loop = asyncio.get_running_loop()
    while count > 0:
        data = await asyncio.wait_for(loop.sock_recv(client, min(count, 4096)), 60)
        assert data, "the server has let the client go"
        count -= len(data)


async def test_a_client_that_reads_steadily_is_not_let_go_however_slow_it_is() -> None:
    loop, connections = asyncio.get_running_loop(), set[HttpConnection]()
    server = await loop.create_server(
        lambda: HttpConnection(Answers(), connections, RequestMemory(1), HeadBuffers()), "127.0.0.1", 0
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_AHEAD)
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n\r\n")
        await read(client, 1)
        (connection,) = connections
        for _ in range(3):
            connection.let_go_if_stalled()
            await read(client, READ_BETWEEN_LOOKS)
        assert connection.sending
        # Nothing is read between these.
        end = loop.time() + 60
        while connections and loop.time() < end:
            connection.let_go_if_stalled()
            await asyncio.sleep(0)
        assert connections == set()
    server.close()
    await server.wait_closed()
