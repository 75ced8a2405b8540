"""Envoy's administration interface, over its Unix socket."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 2.0


class AdminError(OSError):
    """Envoy did not answer as it should."""


async def get(socket: Path, path: str) -> str:
    """What is at a path: see `call`."""
    return await call(socket, "GET", path)


async def call(socket: Path, method: str, path: str) -> str:
    """The body of an answer with status 200.

    Raises:
        AdminError: Envoy cannot be reached, is too slow, or answers with another status.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(
                    f"{method} {path} HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
                )
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except OSError as error:  # TimeoutError is one
        raise AdminError(f"Envoy's administration at {socket} cannot be reached: {error!r}") from None
    status = head.split(b" ")[1:2]
    if status != [b"200"]:
        raise AdminError(f"Envoy answered {path} with {head[:100]!r}")
    chunked = b"\r\ntransfer-encoding: chunked" in head.lower()
    return (b"".join(_chunks(body)) if chunked else body).decode()


async def is_ready(socket: Path) -> bool:
    """Whether Envoy has its listeners open and its first configuration."""
    try:
        return (await get(socket, "/ready")).strip() == "LIVE"
    except AdminError:
        return False


async def answers(socket: Path) -> bool:
    """Whether Envoy says anything at all, be it that it drains."""
    try:
        await get(socket, "/hot_restart_version")
    except AdminError:
        return False
    return True


def _chunks(body: bytes) -> Iterator[bytes]:
    """The parts of a body in chunked transfer coding."""
    at = 0
    while (end := body.find(b"\r\n", at)) >= 0:
        length = int(body[at:end].partition(b";")[0] or b"0", 16)
        if length == 0:
            return
        yield body[end + 2 : end + 2 + length]
        at = end + 2 + length + 2


def parse_statistics(text: str) -> dict[str, int]:
    """Counters and gauges from lines `name: value`; histograms are left out."""
    pairs = (line.rpartition(": ") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdecimal()}
