"""The demand lines: one each second, and one at once when a model is woken, the same to every reader."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from forebay_schema.demand import DemandLine

_PERIOD_S: Final = 1.0


class Ticker:
    def __init__(self, line: Callable[[int], DemandLine], period_s: float = _PERIOD_S) -> None:
        """`line` makes the line of a sequence number."""
        self._line = line
        self._period_s = period_s
        self._sequence = 0
        self._wake = asyncio.Event()
        self._current = asyncio.get_running_loop().create_future()

    def hurry(self) -> None:
        """Write a line now."""
        self._wake.set()

    async def run(self) -> None:
        """Write lines until cancelled."""
        while True:
            self._sequence += 1
            text = self._line(self._sequence).to_json()
            written, self._current = self._current, asyncio.get_running_loop().create_future()
            written.set_result(text)
            try:
                async with asyncio.timeout(self._period_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def lines(self) -> AsyncIterator[str]:
        """Every line from now on; a reader that is too slow misses some."""
        self.hurry()
        while True:
            yield await asyncio.shield(self._current)
