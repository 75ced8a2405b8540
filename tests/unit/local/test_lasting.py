import asyncio

import pytest

from forebay_operator.worlds.local.lasting import keep_going


class FailsAtFirst:
    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def work(self) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("no space left")


async def test_work_that_fails_is_told_and_begins_again() -> None:
    told: list[tuple[str, str]] = []

    work = FailsAtFirst(2).work
    await asyncio.wait_for(keep_going("logs", work, lambda subject, text: told.append((subject, text)), pause_s=0.0), 60)

    assert told == 2 * [("logs", "has failed and begins again: OSError: no space left")]


async def test_work_goes_on_even_when_nobody_can_be_told() -> None:
    def no_terminal(_subject: str, _text: str) -> None:
        raise BrokenPipeError

    await asyncio.wait_for(keep_going("logs", FailsAtFirst(1).work, no_terminal, pause_s=0.0), 60)


async def test_work_that_is_cancelled_ends() -> None:
    task = asyncio.ensure_future(keep_going("files", lambda: asyncio.sleep(600), lambda _subject, _text: None))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
