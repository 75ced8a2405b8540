"""Addresses of sockets: how every process writes them, and how it listens where the kernel has IPv6 and where it has not."""

import socket
from typing import Any, Final

ANY: Final = "any"
"""As an address to listen on: every one of this machine, of whatever family it has."""
_EVERY_IPV4: Final = "0.0.0.0"
_EVERY: Final = "::"
"""Where this is listened on, IPv4 is taken, too."""
_LAST_PORT: Final = 65535


def authority(host: str, port: int) -> str:
    """`HOST:PORT`, as URLs and gRPC have it: an address of IPv6 is in brackets."""
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """A host as it is written in an authority, or in a Host header without a port."""
    return f"[{host}]" if ":" in host else host


def split_authority(text: str) -> tuple[str, int]:
    """The host, without brackets, and the port of `HOST:PORT`.

    Raises:
        ValueError: it is something else; the message says what it should be.
    """
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    plain = host[1:-1] if is_bracketed else host
    digits = port.isascii() and port.isdigit()
    if not plain or (":" in plain and not is_bracketed) or not digits or int(port) > _LAST_PORT:
        raise ValueError(f"{text!r} is no HOST:PORT: write for example 127.0.0.1:8080, [::1]:8080 or {ANY}:8080")
    return plain, int(port)


def address_for(said: str) -> str:
    """The address that `any` stands for on this machine: `::`, `0.0.0.0` where the kernel has no IPv6; others as they are."""
    if said != ANY:
        return said
    return _EVERY if _can_take_both_families() else _EVERY_IPV4


def takes_both_families(address: str) -> bool:
    """Whether listening on the address means to take IPv4 beside IPv6."""
    return address == _EVERY


def place(address: str, port: int) -> dict[str, Any]:
    """Where to listen, as arguments of asyncio's `create_server` and `start_server`.

    By the address alone they would take nothing but IPv6 on `::`.

    Raises:
        OSError: `::` cannot be had; of other addresses asyncio finds that out.
    """
    return {"sock": listening(port)} if takes_both_families(address) else {"host": address, "port": port}


def listening(port: int) -> socket.socket:
    """A socket that listens on `::` for both families.

    Raises:
        OSError: it cannot be had.
    """
    return socket.create_server((_EVERY, port), family=socket.AF_INET6, dualstack_ipv6=True)


def _can_take_both_families() -> bool:
    try:
        listening(0).close()
    # ValueError: there is no such thing here as a socket of both.
    except (OSError, ValueError):
        return False
    return True
