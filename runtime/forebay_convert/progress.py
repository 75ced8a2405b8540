"""How a conversion says how far it is: constant messages with fields, wherever they go."""

import time
from typing import Protocol


class Progress(Protocol):
    def __call__(self, message: str, **fields: object) -> None: ...


class Deadline:
    """The moment at which a conversion has to be over."""

    def __init__(self, seconds: float, *, elapsed_s: float = 0.0) -> None:
        """`elapsed_s`: how much of the time earlier stages have used."""
        self.seconds = seconds
        self._end = time.monotonic() + seconds - elapsed_s

    def remaining(self) -> float:
        """Seconds left; negative when it has passed."""
        return self._end - time.monotonic()
