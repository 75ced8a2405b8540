"""Which orders are out of date: a network may delay, repeat and reorder them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class VersionKey:
    """One version of one model."""

    model: str
    version: int


@dataclass(frozen=True, slots=True)
class OrderBook:
    """The highest sequence seen for each version.

    Sequences rise per server and model. Orders about different versions of a model do not undo each other, so an order is
    late only when a newer one about the same version has been seen; the same order again is not late.
    """

    newest: Mapping[VersionKey, int] = field(default_factory=dict[VersionKey, int])

    def is_late(self, key: VersionKey, sequence: int) -> bool:
        return sequence < self.newest.get(key, -1)

    def with_order(self, key: VersionKey, sequence: int) -> Self:
        """The book after the order; a late one changes nothing."""
        if self.is_late(key, sequence):
            return self
        return type(self)({**self.newest, key: sequence})

    def trimmed(self, held: frozenset[VersionKey], limit: int) -> Self:
        """The book without the oldest entries of versions that are no longer held, at most `limit` of those."""
        gone = sorted((key for key in self.newest if key not in held), key=lambda key: self.newest[key])
        dropped = set(gone[: max(0, len(gone) - limit)])
        return type(self)({key: sequence for key, sequence in self.newest.items() if key not in dropped})
