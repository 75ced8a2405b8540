"""Device memory while a placement is planned: what is free now, and what will be once what leaves has left."""

import enum
from collections.abc import Callable, Collection, Iterable, Mapping

from forebay_operator.domain.fleet import Fleet, Replica, ReplicaKey, ReplicaStage, takes_orders
from forebay_operator.domain.snapshot import DeviceClass, Pool, Server

ModelVersion = tuple[str, int]


class Level(enum.IntEnum):
    """How soon a server can take a replica; the lower, the better."""

    NOW = 0
    SOON = 1
    """Others leave first."""
    STARTING = 2


class Bin:
    """One server's device in a plan. Changes while the plan is made; lives no longer than it."""

    __slots__ = ("_blocked", "_failed", "_models", "is_outdated", "name", "now", "pool", "ready", "soon", "used")

    def __init__(self, pool: Pool, server: Server | None) -> None:
        self.pool = pool
        self.name = "" if server is None else server.name
        self.ready = server is not None and takes_orders(server)
        self.is_outdated = server is not None and server.outdated
        self.now = pool.device.memory_bytes
        """Bytes free, with everything that is there or on its way."""
        self.soon = pool.device.memory_bytes
        """Bytes free once everything that is not staying has left."""
        self.used = False
        """Whether anything stays or comes here."""
        self._models: set[ModelVersion] = set()
        self._blocked: set[ModelVersion] = set()
        self._failed: dict[ModelVersion, int] = {}

    def hold(self, replica: Replica, size: int, *, stays: bool) -> None:
        """Count a replica that is there, or on its way in or out."""
        model = (replica.address.name, replica.version)
        self.now -= size
        if stays:
            self.soon -= size
            self.used = True
            self._models.add(model)
        elif replica.stage is ReplicaStage.FAILED:
            self._failed[model] = size
        else:
            self._blocked.add(model)

    def level(self, model: ModelVersion, need: int) -> Level | None:
        if self.soon < need or model in self._models:
            return None
        if not self.ready:
            return Level.STARTING
        free = self.now + self._failed.get(model, 0) >= need and model not in self._blocked
        return Level.NOW if free else Level.SOON

    def take(self, model: ModelVersion, need: int) -> None:
        self.now -= need - self._failed.pop(model, 0)
        self.soon -= need
        self.used = True
        self._models.add(model)

    def save(self) -> "SavedBin":
        return self.now, self.soon, self.used, set(self._models), dict(self._failed)

    def restore(self, saved: "SavedBin") -> None:
        """Undo what was taken since."""
        self.now, self.soon, self.used, models, failed = saved
        self._models, self._failed = set(models), dict(failed)

    def release(self, replica: Replica, size: int) -> None:
        """A replica that was to stay will go after all."""
        self.soon += size
        model = (replica.address.name, replica.version)
        self._models.discard(model)
        self._blocked.add(model)

    def close(self) -> None:
        """Nothing may come here."""
        self.now = self.soon = -1

    def has(self, model: ModelVersion) -> bool:
        return model in self._models


SavedBin = tuple[int, int, bool, set[ModelVersion], dict[ModelVersion, int]]
SavedShelf = tuple[dict[Pool, list[tuple[Bin, SavedBin]]], dict[DeviceClass, int | None]]


class Shelf:
    """All bins of a plan, by pool."""

    def __init__(
        self,
        fleet: Fleet,
        staying: Collection[ReplicaKey],
        footprint: Callable[[Replica], int],
        devices_left: Mapping[DeviceClass, int | None],
    ) -> None:
        self._bins: dict[Pool, list[Bin]] = {}
        self._by_name: dict[str, Bin] = {}
        self._left = dict(devices_left)
        self.reclaimed: set[str] = set()
        """Unused servers that have to end, so that another pool can have their devices."""
        for server, replicas in fleet.by_server.values():
            self._add(Bin(server.pool, server), replicas, staying, footprint)

    def _add(
        self, new: Bin, replicas: Iterable[Replica], staying: Collection[ReplicaKey], footprint: Callable[[Replica], int]
    ) -> None:
        for replica in replicas:
            new.hold(replica, footprint(replica), stays=replica.key in staying)
        self._bins.setdefault(new.pool, []).append(new)
        self._by_name[new.name] = new

    def bins(self, pools: Iterable[Pool]) -> list[Bin]:
        return [each for pool in pools for each in self._bins.get(pool, ()) if each.name]

    def save(self) -> SavedShelf:
        return {pool: [(each, each.save()) for each in bins] for pool, bins in self._bins.items()}, dict(self._left)

    def restore(self, saved: SavedShelf) -> None:
        """Undo what was opened and taken since."""
        bins, left = saved
        self._left = dict(left)
        self._bins = {pool: [each for each, _ in found] for pool, found in bins.items()}
        for found in bins.values():
            for each, state in found:
                each.restore(state)

    def best(
        self,
        pools: Iterable[Pool],
        model: ModelVersion,
        need: int,
        refused: Collection[str],
        preferred: str = "",
        *,
        only_new: bool = False,
    ) -> tuple[Level, Bin] | None:
        """The bin that can take it soonest, on a server that is not outdated if there is one, and is left with the least.

        `preferred` wins where it has the room. `only_new`: outdated servers are out of the question.
        """
        best: tuple[int, bool, int, str] | None = None
        chosen: tuple[Level, Bin] | None = None
        for pool in pools:
            for each in self._bins.get(pool, ()):
                if each.soon < need or each.name in refused or (only_new and each.is_outdated):
                    continue
                level = each.level(model, need)
                if level is None:
                    continue
                first = -1 if preferred and each.name == preferred else int(level)
                rank = (first, each.is_outdated, each.soon, each.name)
                if best is None or rank < best:
                    best, chosen = rank, (level, each)
        return chosen

    def open(self, pools: Iterable[Pool], need: int) -> tuple[Level, Bin] | None:
        """A new server, in the first pool whose device is large enough and of which there is one left."""
        for pool in pools:
            left = self._left.get(pool.device, 0)
            if pool.device.memory_bytes < need or left == 0:
                continue
            self._left[pool.device] = None if left is None else left - 1
            new = Bin(pool, None)
            self._bins.setdefault(pool, []).append(new)
            return Level.STARTING, new
        return None

    def clear(
        self,
        pools: Collection[Pool],
        model: ModelVersion,
        need: int,
        refused: Collection[str],
        *,
        swappable: Iterable[Replica],
        footprint: Callable[[Replica], int],
    ) -> tuple[Bin | None, list[Replica]] | None:
        """The replicas of one server that make room when they go, the fewest bytes first.

        The bin is None when they only make a device free: their server is of no use, but another can take its place.
        """
        by_server: dict[str, list[Replica]] = {}
        for replica in swappable:
            by_server.setdefault(replica.server.name, []).append(replica)
        options = [
            (sum(map(footprint, leaving)), name)
            for name, leaving in by_server.items()
            if self._frees(name, leaving, pools=pools, model=model, need=need, refused=refused, footprint=footprint)
        ]
        if not options:
            return None
        name = min(options)[1]
        leaving, cleared = by_server[name], self._by_name[name]
        for replica in leaving:
            cleared.release(replica, footprint(replica))
        return (cleared if cleared.pool in pools else None), leaving

    def _frees(
        self,
        name: str,
        leaving: list[Replica],
        *,
        pools: Collection[Pool],
        model: ModelVersion,
        need: int,
        refused: Collection[str],
        footprint: Callable[[Replica], int],
    ) -> bool:
        each = self._by_name[name]
        freed = each.soon + sum(map(footprint, leaving))
        if each.pool in pools:
            return name not in refused and not each.has(model) and freed >= need
        # Of no use itself: but empty, it gives its device to a pool that is.
        device = each.pool.device
        is_last = freed >= device.memory_bytes
        return is_last and device.memory_bytes >= need and any(pool.device == device for pool in pools)

    def release(self, replica: Replica, size: int) -> None:
        """A replica that was to stay will go after all."""
        self._by_name[replica.server.name].release(replica, size)

    def has_room_for(self, name: str, need: int) -> bool:
        found = self._by_name.get(name)
        return found is not None and found.soon >= need

    def opened(self) -> dict[Pool, int]:
        found = {pool: sum(not each.name for each in bins) for pool, bins in self._bins.items()}
        return {pool: number for pool, number in found.items() if number}

    def occupied(self) -> frozenset[str]:
        return frozenset(name for name, each in self._by_name.items() if each.used)

    def reclaim(self, pools: Collection[Pool], need: int) -> bool:
        """Have an unused server of another pool give its device to one of these pools."""
        wanted = {pool.device for pool in pools if pool.device.memory_bytes >= need}
        unused = [
            each
            for each in self._by_name.values()
            if not each.used and each.pool.device in wanted and each.pool not in pools and each.name not in self.reclaimed
        ]
        if not unused:
            return False
        chosen = min(unused, key=lambda each: each.name)
        chosen.close()
        self.reclaimed.add(chosen.name)
        return True
