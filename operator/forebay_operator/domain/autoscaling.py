"""How many replicas the load calls for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScalingMemory:
    """What the policy remembers of one model."""
