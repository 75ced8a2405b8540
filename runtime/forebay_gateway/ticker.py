"""The demand lines: one each second, and one at once when there is a reason, the same to every reader."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from forebay_schema.demand import DemandLine

_PERIOD_S: Final = 1.0


class Ticker:
    def __init__(self, line: Callable[[int], DemandLine], period_s: float = _PERIOD_S) -> None:
        """`line` makes the line of a sequence number."""
        self._line = line
        self._period_s = period_s
        self._sequence = 0
        self._text = ""
        self._hurried = asyncio.Event()
        self._written = asyncio.Event()

    def hurry(self) -> None:
        """Write a line now."""
        self._hurried.set()

    async def run(self) -> None:
        """Write lines until cancelled."""
        while True:
            self._sequence += 1
            self._text = self._line(self._sequence).to_json()
            written, self._written = self._written, asyncio.Event()
            written.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._period_s):
                    await self._hurried.wait()
            self._hurried.clear()

    async def lines(self) -> AsyncIterator[str]:
        """The newest line whenever there is a newer one, beginning now. A slow reader misses some, never the last."""
        seen = self._sequence
        self.hurry()
        while True:
            while self._sequence == seen:
                await self._written.wait()
            seen = self._sequence
            yield self._text
