"""Reading a gateway's stream of demand."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp

_LONGEST_LINE: Final = 32 << 20
"""A line names every model with any demand: some 100 bytes each."""
_CONNECT_S: Final = 2.0


async def read_demand(socket: Path, silence_s: float, hear: Callable[[bytes], None]) -> None:
    """Hand each line to `hear`, until the gateway ends the stream.

    Raises:
        aiohttp.ClientError, OSError: there is no gateway, or it went away.
        TimeoutError: it has been silent for `silence_s`.
        aiohttp.http_exceptions.LineTooLong: a line is longer than twice 32 MiB.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silence_s)
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), read_bufsize=_LONGEST_LINE) as session,
        session.get("http://gateway/demand", timeout=timeout) as answer,
    ):
        answer.raise_for_status()
        async for line in answer.content:
            hear(line)
