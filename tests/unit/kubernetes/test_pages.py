"""The operator's own pages: where they are, and what is said of an address that cannot be listened on."""

import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from forebay_operator.worlds.kubernetes.pages import ListenError, Pages
from forebay_schema.network import address_for, authority, split_authority


def _pages(problem: str = "") -> Pages:
    return Pages(CollectorRegistry(), lambda: problem)


async def test_pages_in_a_pod_are_reached_by_every_family_that_the_machine_has() -> None:
    pages = _pages()
    try:
        host, port = split_authority(await pages.open("any:0"))
        assert host == address_for("any")
        async with aiohttp.ClientSession() as http:
            for address in ("127.0.0.1", "::1") if host == "::" else ("127.0.0.1",):
                async with http.get(f"http://{authority(address, port)}/healthz") as answer:
                    assert (answer.status, await answer.text()) == (200, "ok\n")
    finally:
        await pages.close()


async def test_what_keeps_the_operator_from_being_ready_is_said() -> None:
    pages = _pages("the API server is away")
    try:
        at = await pages.open("127.0.0.1:0")
        async with aiohttp.ClientSession() as http, http.get(f"http://{at}/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "the API server is away\n")
    finally:
        await pages.close()


@pytest.mark.parametrize("listen", ["8080", "::1:8080", "any", "localhost:http"])
async def test_what_is_no_address_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(ListenError, match=r"write for example 127\.0\.0\.1:8080"):
        await _pages().open(listen)


@pytest.mark.parametrize("host", ["127.0.0.1", "any"])
async def test_a_port_that_somebody_has_is_named(host: str) -> None:
    pages = _pages()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        try:
            with pytest.raises(ListenError, match=f"cannot listen at {host}:{port}"):
                await pages.open(f"{host}:{port}")
        finally:
            await pages.close()
