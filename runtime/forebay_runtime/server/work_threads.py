"""Threads for work that takes too long for the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class WorkThreads:
    """Used from the event loop; what waits for a thread waits there, so that it holds nothing once it is cancelled."""

    def __init__(self, count: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._turns = asyncio.Semaphore(count)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the work, done in a thread; work that has begun goes on when its caller is cancelled.

        Raises:
            RuntimeError: the threads are closed.
        """
        await self._turns.acquire()
        try:
            working = asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))
        except BaseException:
            self._turns.release()
            raise
        # Not when the caller leaves: the thread is not free before it is done, and its queue would keep what comes next.
        working.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(working)

    def close(self) -> None:
        """What has not begun is never done."""
        self._executor.shutdown(wait=False, cancel_futures=True)
