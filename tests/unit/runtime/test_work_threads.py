"""Work beside the event loop, and what becomes of it when nobody wants it any more."""

import asyncio
import threading
import weakref

import pytest

from forebay_runtime.server.work_threads import WorkThreads


class Body:
    """What a request brings."""


async def test_work_that_is_cancelled_while_it_waits_holds_nothing_and_is_never_done() -> None:
    threads, begun, end, done = WorkThreads(1, "work"), threading.Event(), threading.Event(), list[str]()

    def hold() -> None:
        begun.set()
        assert end.wait(60)

    async def work(body: Body) -> None:
        await threads.run(lambda kept: done.append(repr(kept)), body)

    holding = asyncio.ensure_future(threads.run(hold))
    await asyncio.to_thread(begun.wait, 60)
    bodies = [Body() for _ in range(3)]
    kept = [weakref.ref(body) for body in bodies]
    waiting = [asyncio.ensure_future(work(bodies.pop())) for _ in range(3)]
    await asyncio.sleep(0)
    cancelled = [task.cancel() for task in waiting]
    await asyncio.wait(waiting)
    del waiting
    still_kept = [ref() for ref in kept if ref() is not None]
    end.set()
    await holding
    await threads.run(done.append, "the last")
    threads.close()
    assert cancelled == [True] * 3
    assert (still_kept, done) == ([], ["the last"])


async def test_a_thread_is_taken_until_its_work_is_done_though_nobody_waits_for_it() -> None:
    threads, begun, end, order = WorkThreads(1, "work"), threading.Event(), threading.Event(), list[str]()

    def hold() -> None:
        begun.set()
        assert end.wait(60)
        order.append("held")

    holding = asyncio.ensure_future(threads.run(hold))
    await asyncio.to_thread(begun.wait, 60)
    holding.cancel()
    await asyncio.wait([holding])
    following = asyncio.ensure_future(threads.run(order.append, "next"))
    end.set()
    await following
    threads.close()
    assert order == ["held", "next"]


async def test_what_work_raises_reaches_its_caller_and_the_next_gets_its_turn() -> None:
    threads = WorkThreads(1, "work")
    with pytest.raises(ValueError, match="no number"):
        await threads.run(int, "no number")
    assert await threads.run(int, "3") == 3
    threads.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        await threads.run(int, "4")
