"""Observe, decide, act: once a second, and soon after something happened, but not so often that nothing else gets its turn."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

from forebay_operator.domain.actions import Action
from forebay_operator.domain.memory import Memory
from forebay_operator.domain.snapshot import Snapshot
from forebay_operator.domain.step import step
from forebay_operator.worlds import World
from forebay_schema.logs import Logger

PERIOD_S: Final = 1.0
LEAST_GAP_S: Final = 0.03
"""Between two steps, however much happens."""
_SHARE: Final = 2.0
"""The pause after a step is this many times as long as the step took: with thousands of models a step is not short, and the
writes that it orders have to get on."""
_LONGEST_PAUSE_S: Final = 5.0
_log: Final = Logger("forebay.control")

Stepped = Callable[[Snapshot, Sequence[Action], float], None]
"""Told what a step saw, what it ordered, and the seconds that it took to decide."""


class StepLoop:
    """Runs the step over a world until it is cancelled."""

    def __init__(
        self,
        world: World,
        changed: asyncio.Event,
        *,
        stepped: Stepped = lambda _snapshot, _actions, _seconds: None,
        failed: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """`changed`: set when something happened that the step should look at. `stepped`, `failed`: told of each step."""
        self._world = world
        self._changed = changed
        self._stepped = stepped
        self._failed = failed
        self._memory = Memory()

    async def run(self) -> None:
        """Step for ever."""
        while True:
            took = self.step()
            await asyncio.sleep(min(_LONGEST_PAUSE_S, max(LEAST_GAP_S, _SHARE * took)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), PERIOD_S)

    def step(self) -> float:
        """One step, and the seconds that it took in all. One that fails is logged, and tried again from the same memory."""
        self._changed.clear()
        began = time.monotonic()
        try:
            self._observe_decide_act()
        except Exception as error:
            _log.exception("the control step failed")
            self._failed(error)
        return time.monotonic() - began

    def _observe_decide_act(self) -> None:
        snapshot = self._world.observe()
        began = time.monotonic()
        result = step(snapshot, self._memory)
        decided = time.monotonic() - began
        self._world.act(result.actions)
        self._memory = result.memory
        self._stepped(snapshot, result.actions, decided)
        _log.debug("stepped", milliseconds=round(decided * 1000, 1), actions=len(result.actions))
