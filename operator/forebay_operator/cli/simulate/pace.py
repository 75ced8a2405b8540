"""How fast one replica answers, as a fluid: the rate at which requests leave it for every number of requests in it."""

import math
from dataclasses import dataclass, field
from typing import Final

QUEUED_PER_BATCH: Final = 1.5
"""Requests in a replica that is as busy as what arrives makes it, for each in execution: as many gather during a batch as the
batch has, half of them on average."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A batch of n takes `base_s + n * per_item_s` on one of `instances`; a batch is what waits, up to `largest_batch`."""

    base_s: float
    per_item_s: float = 0.0
    largest_batch: int = 1
    instances: int = 1
    alone_s: float = field(init=False)
    """How long a request takes that has a replica for itself."""
    capacity: float = field(init=False)
    """Requests per second of one replica that never runs out of them."""
    full: float = field(init=False)
    """Requests in a replica from which on its batches are the largest."""

    def __post_init__(self) -> None:
        # Set once rather than computed each time: a day asks for them millions of times.
        object.__setattr__(self, "alone_s", self.batch_s(1))
        object.__setattr__(self, "capacity", self.instances * self.largest_batch / self.batch_s(self.largest_batch))
        object.__setattr__(self, "full", QUEUED_PER_BATCH * self.instances * self.largest_batch)

    def batch_s(self, items: float) -> float:
        return self.base_s + items * self.per_item_s

    def batch(self, inside: float) -> float:
        """How large batches are with so many requests in the replica."""
        return min(max(inside / (QUEUED_PER_BATCH * self.instances), 1.0), float(self.largest_batch))

    def rate(self, inside: float) -> float:
        """Requests per second that leave a replica with so many in it."""
        batch = self.batch(inside)
        return min(float(self.instances), inside) * batch / self.batch_s(batch)

    def queued(self, inside: float) -> float:
        """Those in it that are not in execution."""
        return max(0.0, inside - self.instances * self.batch(inside))

    def wait_s(self, inside: float) -> float:
        """How long a request waits for its batch that finds so many in the replica."""
        queued = self.queued(inside)
        return queued / self.rate(inside) if queued else 0.0

    def after(self, inside: float, seconds: float) -> float:
        """What is left of the requests in a replica after a short time in which none comes.

        The implicit Euler step of dx/dt = -rate(x), which is stable however short a batch is: the root of
        y + seconds * rate(y) = x, of which there is one, as the rate never falls. Tried from the fullest case down.
        """
        left = inside - seconds * self.capacity
        if left >= self.full:
            return left
        alone = self.instances / self.alone_s
        if self.largest_batch > 1:
            left = self._after_batches(inside, seconds)
            if left > QUEUED_PER_BATCH * self.instances:
                return left
        left = inside - seconds * alone
        return left if left > self.instances else inside / (1.0 + seconds / self.alone_s)

    def _after_batches(self, inside: float, seconds: float) -> float:
        """The case of batches that are neither single requests nor the largest: a quadratic equation."""
        fixed = QUEUED_PER_BATCH * self.instances * self.base_s
        linear = fixed + seconds * self.instances - inside * self.per_item_s
        if self.per_item_s == 0.0:
            return inside * fixed / linear
        root = math.sqrt(linear * linear + 4.0 * self.per_item_s * inside * fixed)
        return (root - linear) / (2.0 * self.per_item_s)
