"""Moves replicas off outdated servers: one server after the other, where there is room for all that stays on it.

The new replica is loaded beside the old one, which goes when the new one is ready. Nothing is swapped for it, and a server is
begun with only when all of it can move: a server that is half empty frees no device.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from forebay_operator.domain.bins import Bin, Level, ModelVersion, Shelf
from forebay_operator.domain.fleet import VersionKey
from forebay_operator.domain.snapshot import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A replica that stays on an outdated server, and what one that takes over from it needs."""

    server: str
    claim: VersionKey
    pools: tuple[Pool, ...]
    need_bytes: int
    refused: frozenset[str] = frozenset()
    """Servers where its load failed lately."""
    may_open: bool = True
    """Whether a new server may be started for it."""

    @property
    def model(self) -> ModelVersion:
        return self.claim[0].name, self.claim[1]


Move = tuple[Tenant, Level, Bin]


def plan(tenants: Iterable[Tenant], coming: Mapping[VersionKey, int], busy: Set[VersionKey], shelf: Shelf) -> list[Move]:
    """The moves to begin now; their room is taken.

    `coming`: how many replicas that take over are on their way already, by claim. `busy`: claims of which none is begun now.
    """
    left, blocked = dict(coming), set(busy)
    begun: list[Move] = []
    for together in _by_server(tenants):
        waiting = [tenant for tenant in together if not _takes_one(left, tenant.claim)]
        if any(tenant.claim in blocked for tenant in waiting):
            continue
        moves = _begin(waiting, shelf)
        blocked.update(tenant.claim for tenant, _, _ in moves)
        begun += moves
    return begun


def _by_server(tenants: Iterable[Tenant]) -> list[list[Tenant]]:
    """The tenants of each server, those of the emptiest first: it is free again with the fewest moves."""
    found: dict[str, list[Tenant]] = {}
    for tenant in tenants:
        found.setdefault(tenant.server, []).append(tenant)
    return [found[name] for name in sorted(found, key=lambda name: (len(found[name]), name))]


def _takes_one(left: dict[VersionKey, int], claim: VersionKey) -> bool:
    if left.get(claim, 0) < 1:
        return False
    left[claim] -= 1
    return True


def _begin(tenants: list[Tenant], shelf: Shelf) -> list[Move]:
    """A place for each, or none for any."""
    before = shelf.save()
    moves: list[Move] = []
    for tenant in tenants:
        found = shelf.best(tenant.pools, tenant.model, tenant.need_bytes, tenant.refused, only_new=True)
        if found is None and tenant.may_open:
            found = shelf.open(tenant.pools, tenant.need_bytes)
        if found is None:
            shelf.restore(before)
            return []
        found[1].take(tenant.model, tenant.need_bytes)
        moves.append((tenant, *found))
    return moves
