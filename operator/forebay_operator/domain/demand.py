"""What is seen of the demand for one model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadMemory:
    """The counters seen last."""
