"""Which server holds which replica: best fit by device memory, never over-committed, with a reason for what has no place.

What is on its way counts like what is there: replicas that load, unload or failed, and orders that do not show yet. A replica
that could only be placed where others are about to leave is planned there, and ordered when the room is really free.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from forebay_operator.domain import renewal
from forebay_operator.domain.bins import Bin, Level, Shelf
from forebay_operator.domain.devices import largest_too_small
from forebay_operator.domain.fleet import Fleet, Replica, ReplicaKey, ReplicaStage, VersionKey
from forebay_operator.domain.renewal import Tenant
from forebay_operator.domain.snapshot import DeviceClass, Pool
from forebay_operator.domain.wording import bytes_text, counted
from forebay_schema.addresses import ModelAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """So many replicas of one version are wanted."""

    address: ModelAddress
    version: int
    need_bytes: int
    replicas: int
    pools: tuple[Pool, ...]
    """Where they may be, in order of preference for new servers."""
    present: tuple[Replica, ...] = ()
    """Those that are there already, in these pools."""
    refused: frozenset[str] = frozenset()
    """Servers that are not asked now, because the load failed there."""
    may_open: bool = True
    """Whether new servers may be asked for."""
    swappable: tuple[Replica, ...] = ()
    """Older replicas that may go, one at a time, when there is no other room."""
    reserved: str = ""
    """The server that was cleared for this claim by a swap."""
    fading: frozenset[ReplicaKey] = frozenset()
    """Replicas that were on their way out already: the last to be kept, so that the choice is stable."""

    @property
    def key(self) -> VersionKey:
        return self.address, self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What became of a claim."""

    kept: tuple[Replica, ...] = ()
    added: tuple[str, ...] = ()
    """Servers that have the room now: a load can be ordered there."""
    planned: tuple[str, ...] = ()
    """Servers where it will go: they start, or others leave first. Empty string: one that is still to be started."""
    swapped: tuple[Replica, ...] = ()
    """Older replicas that have to go first."""
    unplaced: int = 0
    reason: str = ""
    """Why `unplaced` have no place: a sentence without its full stop, with numbers."""
    is_too_large: bool = False
    """No device that there is will ever have the room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    placed: Mapping[VersionKey, Placed] = field(default_factory=dict[VersionKey, Placed])
    opened: Mapping[Pool, int] = field(default_factory=dict[Pool, int])
    """New servers that the plan needs, by pool."""
    occupied: frozenset[str] = frozenset()
    """Servers that the plan uses."""
    reclaimed: frozenset[str] = frozenset()
    """Servers that the plan does not use and whose device another pool needs."""
    lingering: frozenset[ReplicaKey] = frozenset()
    """Failed replicas that may stay where they are until they are tried again: nobody else needs their room."""


def place(
    claims: Collection[Claim],
    fleet: Fleet,
    *,
    retained: Collection[ReplicaKey] = (),
    devices_left: Mapping[DeviceClass, int | None] | None = None,
    footprint: Callable[[Replica], int],
) -> Placement:
    """Plan where all claimed replicas go. What has a place keeps it.

    `retained`: replicas outside the claims that stay for now. `devices_left`: how many more servers of a class there may be
    (None: as many as needed). `footprint`: device memory of a replica that is there or on its way.
    """
    kept = {claim.key: keepers(claim, fleet) for claim in claims}
    staying = {replica.key for replicas in kept.values() for replica in replicas}
    staying.update(retained)
    shelf = Shelf(fleet, staying, footprint, devices_left or {})
    drafts = {claim.key: _Draft(claim, kept[claim.key]) for claim in claims}
    for draft in drafts.values():
        draft.take_back(shelf, footprint)
    for draft in _in_turn(drafts.values(), shelf):
        draft.settle_one(shelf, footprint)
    short = [draft for draft in drafts.values() if draft.unplaced]
    _renew(drafts, short, shelf)
    return Placement(
        placed={key: draft.result(shelf) for key, draft in drafts.items()},
        opened=shelf.opened(),
        occupied=shelf.occupied(),
        reclaimed=frozenset(shelf.reclaimed),
        lingering=frozenset(key for draft in short for key in draft.lingering(shelf, short)),
    )


def keepers(claim: Claim, fleet: Fleet) -> tuple[Replica, ...]:
    """Which of a claim's replicas stay: ready ones first, then those on servers that are not outdated; those that are the last
    on their server go first. What is on its way to take over from one on an outdated server stays beside that."""
    here = [replica for replica in claim.present if replica.is_coming_or_here]
    if len(here) <= claim.replicas:
        return tuple(here)

    def rank(replica: Replica) -> tuple[bool, bool, bool, bool, int, str]:
        key, is_outdated = replica.key, replica.server.outdated
        is_fading = key in claim.fading
        return not replica.is_ready, not replica.shows_ready, is_outdated, is_fading, -len(fleet.on(key.server)), key.server

    ranked = sorted(here, key=rank)
    kept = ranked[: claim.replicas]
    outdated = sum(replica.server.outdated for replica in kept)
    coming = [each for each in ranked[claim.replicas :] if each.stage in _COMING and not each.server.outdated]
    return (*kept, *coming[:outdated])


_COMING = frozenset({ReplicaStage.ORDERED, ReplicaStage.LOADING})


def _renew(drafts: Mapping[VersionKey, "_Draft"], short: Collection["_Draft"], shelf: Shelf) -> None:
    """Begin to move replicas off outdated servers, onto devices that nobody waits for."""
    crowded = {pool.device for draft in short if draft.lacks_room for pool in draft.claim.pools}
    tenants = [tenant for draft in drafts.values() for tenant in draft.tenants(crowded)]
    if not tenants:
        return
    busy = {key for key, draft in drafts.items() if draft.is_moving}
    coming = {key: max(0, len(draft.kept) - draft.claim.replicas) for key, draft in drafts.items()}
    for tenant, level, chosen in renewal.plan(tenants, coming, busy, shelf):
        drafts[tenant.claim].add(level, chosen)


def _in_turn(drafts: Iterable["_Draft"], shelf: Shelf) -> list["_Draft"]:
    """One entry for each missing replica: first those that a server was cleared for, then every model's first, second, …

    As long as the server is still to be cleared, its turn is that of any other: it must not take a place that others wait for.
    """
    turns = [
        (
            not shelf.has_room_for(draft.claim.reserved, draft.claim.need_bytes),
            ordinal,
            draft.claim.address.namespace,
            draft.claim.address.name,
            draft.claim.version,
            draft,
        )
        for draft in drafts
        for ordinal in range(len(draft.kept), draft.claim.replicas)
    ]
    turns.sort(key=lambda turn: turn[:5])
    return [turn[5] for turn in turns]


class _Draft:
    """A claim while the plan is made."""

    def __init__(self, claim: Claim, kept: tuple[Replica, ...]) -> None:
        self.claim = claim
        self.kept = kept
        self.unplaced = 0
        self._added: list[str] = []
        self._planned: list[str] = []
        self._swapped: list[Replica] = []

    def take_back(self, shelf: Shelf, footprint: Callable[[Replica], int]) -> None:
        """Give up orders that do not show yet, where others were measured to need the room since."""
        for replica in self.kept:
            if replica.holding is None and not shelf.has_room_for(replica.server.name, 0):
                shelf.release(replica, footprint(replica))
                self.kept = tuple(each for each in self.kept if each is not replica)

    def settle_one(self, shelf: Shelf, footprint: Callable[[Replica], int]) -> None:
        """Find a place for one more replica, or count it as unplaced."""
        # What had no place before has none now: the plan only fills up.
        if self.unplaced or not self._settle(shelf, footprint):
            self.unplaced += 1

    def _settle(self, shelf: Shelf, footprint: Callable[[Replica], int]) -> bool:
        claim = self.claim
        model = (claim.address.name, claim.version)
        found = shelf.best(claim.pools, model, claim.need_bytes, claim.refused, claim.reserved)
        if found is None and claim.may_open:
            found = shelf.open(claim.pools, claim.need_bytes)
            if found is None and shelf.reclaim(claim.pools, claim.need_bytes):
                self._planned.append("")
                return True
        if found is None:
            return self._swap(shelf, footprint)
        level, chosen = found
        chosen.take(model, claim.need_bytes)
        self.add(level, chosen)
        return True

    @property
    def is_moving(self) -> bool:
        """Whether anything of it has no place yet, or was given one just now."""
        return bool(self.unplaced or self._added or self._planned or self._swapped)

    @property
    def lacks_room(self) -> bool:
        """Whether it would take a server that gets free."""
        return bool(self.unplaced) and self.claim.may_open and not _too_large(self.claim)

    def add(self, level: Level, chosen: Bin) -> None:
        """Have one more replica in a place that was taken for it."""
        (self._added if level is Level.NOW else self._planned).append(chosen.name)

    def tenants(self, crowded: Collection[DeviceClass]) -> list[Tenant]:
        """Its replicas on outdated servers, and where they may go."""
        claim = self.claim
        return [
            Tenant(
                server=replica.server.name,
                claim=claim.key,
                pools=tuple(pool for pool in claim.pools if pool.device not in crowded),
                need_bytes=claim.need_bytes,
                refused=claim.refused,
                may_open=claim.may_open,
            )
            for replica in self.kept
            if replica.server.outdated
        ]

    def _swap(self, shelf: Shelf, footprint: Callable[[Replica], int]) -> bool:
        """Have one server's older replicas go; not while an earlier move of this claim is under way."""
        moving = self._added or self._planned or any(not replica.is_ready for replica in self.kept)
        if moving or not self.claim.swappable:
            return False
        found = shelf.clear(
            self.claim.pools,
            (self.claim.address.name, self.claim.version),
            self.claim.need_bytes,
            self.claim.refused,
            swappable=self.claim.swappable,
            footprint=footprint,
        )
        if found is None:
            return False
        chosen, leaving = found
        if isinstance(chosen, Bin):
            chosen.take((self.claim.address.name, self.claim.version), self.claim.need_bytes)
        self._planned.append(leaving[0].server.name)
        self._swapped.extend(leaving)
        return True

    def lingering(self, shelf: Shelf, short: Collection["_Draft"]) -> list[ReplicaKey]:
        """This claim's failed replicas, except on servers that are needed for others."""
        others = {pool for draft in short if draft is not self for pool in draft.claim.pools}
        failed = [replica for replica in self.claim.present if replica.stage is ReplicaStage.FAILED]
        return [
            replica.key
            for replica in failed
            if replica.server.pool not in others and shelf.has_room_for(replica.server.name, self.claim.need_bytes)
        ]

    def result(self, shelf: Shelf) -> Placed:
        return Placed(
            kept=self.kept,
            added=tuple(self._added),
            planned=tuple(self._planned),
            swapped=tuple(self._swapped),
            unplaced=self.unplaced,
            reason=_reason(self.claim, shelf) if self.unplaced else "",
            is_too_large=bool(self.unplaced) and bool(_too_large(self.claim)),
        )


def _reason(claim: Claim, shelf: Shelf) -> str:
    """Why there is no place, with the figures that were compared."""
    if not claim.pools:
        return "There is no device that it may use"
    too_large = _too_large(claim)
    if too_large:
        return too_large
    bins = shelf.bins(claim.pools)
    if not bins:
        return f"A replica needs {bytes_text(claim.need_bytes)} on a device of its own, and all devices are taken"
    model = (claim.address.name, claim.version)
    free = [each for each in bins if not each.has(model) and each.name not in claim.refused]
    if not free:
        return _all_used(claim, bins)
    roomiest = max(0, *(each.soon for each in free))
    devices = (
        f"the roomiest of {len(free)} devices"
        if len(free) > 1
        else "the only other device"
        if len(bins) > 1
        else "the only device"
    )
    return f"A replica needs {bytes_text(claim.need_bytes)}, {devices} has {bytes_text(roomiest)} free"


def _too_large(claim: Claim) -> str:
    return largest_too_small(claim.need_bytes, tuple(pool.device for pool in claim.pools)) if claim.pools else ""


def _all_used(claim: Claim, bins: list[Bin]) -> str:
    failed = sum(each.name in claim.refused for each in bins)
    holding = len(bins) - failed
    if not failed:
        return f"There {'is' if holding == 1 else 'are'} {counted(holding, 'device')}, with one replica each already"
    if not holding:
        return f"The load failed on {'the only device' if failed == 1 else f'all {failed} devices'}"
    return f"{counted(holding, 'device has', 'devices have')} a replica already, and on {failed} the load failed"
