"""The one clock of this program: seconds since the epoch that never go back."""

import time


class Clock:
    """Wall clock at its start, plus what a monotonic clock has counted since."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()
