"""How a conversion says how far it is: constant messages with fields, wherever they go."""

import time
from typing import Protocol


class Progress(Protocol):
    def __call__(self, message: str, **fields: object) -> None: ...


class Deadline:
    """The moment at which a conversion has to be over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative when it has passed."""
        return self._end - time.monotonic()
