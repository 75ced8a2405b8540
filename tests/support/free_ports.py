"""Ports for servers that have to be told theirs."""

import contextlib
import random
import socket

_LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports below those that the kernel gives to clients: a server that starts later, or again, finds its own free."""
    free: list[int] = []
    candidates = list(range(15000, 30000))
    random.SystemRandom().shuffle(candidates)
    while len(free) < count:
        port = candidates.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((_LOOPBACK, port))
            free.append(port)
    return free


def free_port() -> int:
    (port,) = free_ports(1)
    return port
