"""Work that goes on as long as `forebay up` does, whatever goes wrong in it meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from forebay_schema.logs import Logger

PAUSE_S: Final = 1.0
_log: Final = Logger("forebay.local")


async def keep_going(
    name: str, work: Callable[[], Awaitable[None]], tell: Callable[[str, str], None], pause_s: float = PAUSE_S
) -> None:
    """Do the work; where it fails, log and tell it, and begin again after a pause. Returns when the work does."""
    while True:
        try:
            await work()
        except Exception as error:
            _report(name, error, tell)
        else:
            return
        await asyncio.sleep(pause_s)


def _report(name: str, error: Exception, tell: Callable[[str, str], None]) -> None:
    _log.exception("work failed and begins again", work=name)
    try:
        tell(name, f"has failed and begins again: {type(error).__name__}: {error}")
    except OSError:
        # The disk or terminal that has no room for the sentence may be what the work failed at.
        _log.exception("nobody could be told", work=name)
