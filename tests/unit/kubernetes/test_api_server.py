"""Calls to an API server."""

import asyncio

import pytest
from kubernetes.aio.client.configuration import Configuration

from forebay_operator.worlds.kubernetes.api_server import ApiServer

_ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{"items": ["it"]}'
)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_ANSWER)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_an_api_server_is_never_reached_through_the_proxies_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    # Nothing listens there.
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server:
        configuration = Configuration()
        configuration.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        api = ApiServer(configuration)
        try:
            assert await api.call("GET", "/api/v1/pods", timeout_s=60) == {"items": ["it"]}
        finally:
            await api.close()
