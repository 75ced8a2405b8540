"""Addresses of sockets, as every process writes them and listens on them."""

import socket

import pytest

from forebay_schema.network import address_for, authority, bracketed, listening, place, split_authority, takes_both_families

HAS_BOTH = address_for("any") == "::"


@pytest.mark.parametrize(
    ("host", "port", "written"),
    [
        ("10.0.0.7", 8000, "10.0.0.7:8000"),
        ("fd00::7", 8000, "[fd00::7]:8000"),
        ("::1", 80, "[::1]:80"),
        ("localhost", 1, "localhost:1"),
    ],
)
def test_an_address_of_ipv6_is_in_brackets_where_a_port_follows(host: str, port: int, written: str) -> None:
    assert authority(host, port) == written
    assert split_authority(written) == (host, port)
    assert written.startswith(bracketed(host))


@pytest.mark.parametrize("text", ["", "8080", ":8080", "a:", "a:b", "a:65536", "a:-1", "::1:8080", "[]:80", "[::1]", "a:²"])
def test_what_is_no_host_and_port_is_named_with_what_it_should_be(text: str) -> None:
    with pytest.raises(ValueError, match="is no HOST:PORT: write for example 127") as refused:
        split_authority(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.7", "localhost"])
def test_a_given_address_stays_as_it_is_and_is_left_to_asyncio(address: str) -> None:
    assert address_for(address) == address
    assert not takes_both_families(address)
    assert place(address, 80) == {"host": address, "port": 80}


def test_any_is_an_address_of_this_machine_in_every_kernel() -> None:
    assert address_for("any") in ("::", "0.0.0.0")


@pytest.mark.skipif(not HAS_BOTH, reason="this kernel has no IPv6")
def test_who_listens_on_every_address_is_reached_by_both_families() -> None:
    with listening(0) as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=60):
                listener.accept()[0].close()


@pytest.mark.skipif(not HAS_BOTH, reason="this kernel has no IPv6")
def test_what_ipv4_has_taken_cannot_be_taken_again_by_both() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, pytest.raises(OSError, match="in use"):
        listening(first.getsockname()[1])
