"""Observe, decide, act: once a second, and at once when something has happened."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from forebay_operator.domain.memory import Memory
from forebay_operator.domain.step import step
from forebay_operator.worlds import World
from forebay_schema.logs import Logger

PERIOD_S: Final = 1.0
LEAST_GAP_S: Final = 0.03
"""Between two steps, however much happens."""
_log: Final = Logger("forebay.control")


class ControlLoop:
    """Runs the step over a world until it is cancelled."""

    def __init__(self, world: World, changed: asyncio.Event, tell: Callable[[str, str], None]) -> None:
        self._world = world
        self._changed = changed
        self._tell = tell
        self._memory = Memory()

    async def run(self) -> None:
        """Step for ever."""
        while True:
            self.step()
            await asyncio.sleep(LEAST_GAP_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), PERIOD_S)

    def step(self) -> None:
        """One step. What goes wrong in it is logged and told; the next one tries again, from the same memory."""
        self._changed.clear()
        began = time.monotonic()
        try:
            result = step(self._world.observe(), self._memory)
            self._world.act(result.actions)
            self._memory = result.memory
        except Exception as error:
            _log.exception("the control step failed")
            self._tell("controller", f"a step failed and is tried again: {type(error).__name__}: {error}")
        else:
            seconds = time.monotonic() - began
            _log.debug("stepped", milliseconds=round(seconds * 1000, 1), actions=len(result.actions))
