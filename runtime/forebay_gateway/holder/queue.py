"""The requests that wait, per model, first come first out; limited in count, bytes and time. No I/O, no clock."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final, Generic, TypeVar

from forebay_gateway.holder.answers import Answer, crowded, too_large, too_many
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import HoldLimits

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Held(Generic[T]):
    """One waiting request. `size`: bytes it is charged; `since`, `deadline`: seconds by the clock of the holder."""

    address: ModelAddress
    size: int
    deadline: float
    exchange: T
    since: float = 0.0
    returned: bool = False
    """It was let go before, and came back."""


@dataclass(slots=True)
class _Line(Generic[T]):
    """The requests of one model in their order."""

    held: dict[Held[T], None] = field(default_factory=dict[Held[T], None])
    returned: dict[Held[T], None] = field(default_factory=dict[Held[T], None])
    """Those that were let go and came back: they came before all others, and go before them."""
    size: int = 0

    def __len__(self) -> int:
        return len(self.held) + len(self.returned)

    def __contains__(self, held: Held[T]) -> bool:
        return held in self.held or held in self.returned

    def __iter__(self) -> Iterator[Held[T]]:
        return chain(self.returned, self.held)

    def remove(self, held: Held[T]) -> None:
        del (self.held if held in self.held else self.returned)[held]
        self.size -= held.size


MOST_REQUESTS: Final = 50_000
MOST_BYTES: Final = 1 << 30
"""What may wait for all models together: each has limits of its own, but there may be thousands."""


class HoldQueue(Generic[T]):
    def __init__(self, most_requests: int = MOST_REQUESTS, most_bytes: int = MOST_BYTES) -> None:
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._requests = self._size = 0
        self._lines: dict[ModelAddress, _Line[T]] = {}
        self._deadlines: list[tuple[float, int, Held[T]]] = []
        self._entries = 0

    def admit(self, held: Held[T], limits: HoldLimits, *, first: bool = False) -> Answer | None:
        """Put a request at the end of its model's line, or before those that never left it; or say why not."""
        line = self._lines.get(held.address) or _Line[T]()
        if len(line) >= limits.requests:
            return too_many(held.address, limits)
        if line.size + held.size > limits.bytes:
            return too_large(held.address, limits, held.size)
        if self._requests >= self._most_requests or self._size + held.size > self._most_bytes:
            return crowded(held.address)
        self._lines[held.address] = line
        (line.returned if first else line.held)[held] = None
        line.size += held.size
        self._requests += 1
        self._size += held.size
        self._entries += 1
        heapq.heappush(self._deadlines, (held.deadline, self._entries, held))
        return None

    def resize(self, held: Held[T], size: int, limits: HoldLimits) -> Answer | None:
        """Charge a waiting request what it turned out to have; says why if it cannot stay."""
        if held not in self:
            return None
        line = self._lines[held.address]
        line.size += size - held.size
        self._size += size - held.size
        held.size = size
        if line.size > limits.bytes:
            return too_large(held.address, limits, size)
        return crowded(held.address) if self._size > self._most_bytes else None

    def leave(self, held: Held[T]) -> bool:
        """Take one request out; false if it had left before."""
        if held not in self:
            return False
        line = self._lines[held.address]
        line.remove(held)
        self._requests -= 1
        self._size -= held.size
        if not line:
            del self._lines[held.address]
        return True

    def take(self, address: ModelAddress, count: int) -> list[Held[T]]:
        """Take out the first `count` of a model, or all there are."""
        line = self._lines.get(address)
        first = list(islice(line, count)) if line else []
        for held in first:
            self.leave(held)
        return first

    def expired(self, now: float) -> Iterator[Held[T]]:
        """Take out the requests whose deadline has come."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, held = heapq.heappop(self._deadlines)
            if self.leave(held):
                yield held
        self._forget_departed()

    def count(self, address: ModelAddress) -> int:
        line = self._lines.get(address)
        return len(line) if line else 0

    def size(self, address: ModelAddress) -> int:
        line = self._lines.get(address)
        return line.size if line else 0

    def addresses(self) -> list[ModelAddress]:
        """The models that anything waits for."""
        return list(self._lines)

    def __contains__(self, held: Held[T]) -> bool:
        line = self._lines.get(held.address)
        return line is not None and held in line

    def __len__(self) -> int:
        return self._requests

    def _forget_departed(self) -> None:
        # Those that left early stay in the heap until their deadline: not when they are most of it.
        if len(self._deadlines) > 2 * len(self) + 1000:
            self._deadlines = [entry for entry in self._deadlines if entry[2] in self]
            heapq.heapify(self._deadlines)
