import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from forebay_gateway.ticker import Ticker
from forebay_schema.demand import DemandLine

NEVER_S = 3600.0


@asynccontextmanager
async def running(period_s: float = NEVER_S) -> AsyncGenerator[Ticker]:
    ticker = Ticker(lambda sequence: DemandLine(gateway="x", sequence=sequence), period_s)
    task = asyncio.create_task(ticker.run())
    yield ticker
    task.cancel()


def number(text: str) -> int:
    return DemandLine.from_json(text).sequence


async def newer(lines: AsyncIterator[str], than: int) -> int:
    async for text in lines:
        if number(text) > than:
            return number(text)
    raise AssertionError("the lines ended")


async def test_a_line_is_written_at_once_when_it_is_hurried() -> None:
    async with running() as ticker:
        lines = ticker.lines()
        first = number(await anext(lines))
        ticker.hurry()
        assert await newer(lines, first)


async def test_lines_come_by_themselves() -> None:
    async with running(period_s=0.01) as ticker:
        lines = ticker.lines()
        numbers = [number(await anext(lines)) for _ in range(4)]
        assert numbers == sorted(set(numbers))


async def test_every_reader_gets_the_newest_line() -> None:
    async with running() as ticker:
        readers = [ticker.lines() for _ in range(3)]
        begun = [number(await anext(reader)) for reader in readers]
        ticker.hurry()
        for reader in readers:
            assert await newer(reader, max(begun))


async def test_a_slow_reader_gets_the_last_line() -> None:
    async with running() as ticker:
        slow, fast = ticker.lines(), ticker.lines()
        await anext(slow)
        newest = number(await anext(fast))
        for _ in range(5):
            ticker.hurry()
            newest = await newer(fast, newest)
        assert number(await anext(slow)) == newest


async def test_a_reader_who_leaves_disturbs_nobody() -> None:
    async with running() as ticker:
        leaving = asyncio.ensure_future(anext(ticker.lines()))
        stays = ticker.lines()
        await asyncio.sleep(0)
        leaving.cancel()
        assert await anext(stays)
