"""How long a batch takes on a simulated device."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pace:
    """A batch of n rows takes at least `base_s + n * item_s` seconds."""

    base_s: float = 0.0
    item_s: float = 0.0

    def seconds(self, rows: int) -> float:
        return self.base_s + rows * self.item_s

    def remaining(self, rows: int, elapsed_s: float) -> float:
        """How much longer a batch must still take after `elapsed_s`; never negative."""
        return max(0.0, self.seconds(rows) - elapsed_s)


UNPACED: Final = Pace()
"""As fast as it goes."""
