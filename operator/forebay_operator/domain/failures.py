"""Loads that failed: where, how often, what they were found to need, and when they are tried again."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from forebay_operator.domain.fleet import Fleet, Replica, ReplicaKey, ReplicaStage, VersionKey
from forebay_operator.domain.snapshot import Holding, Pool
from forebay_schema.addresses import ModelAddress

_FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 300.0
_FORGOTTEN_AFTER_S = 6 * 3600.0
"""What failed on servers that are gone is remembered for so long: many times the longest pause."""
_MOST_SERVERS = 2
"""So many servers are tried at once; after that, new ones are started for a load only after a pause."""


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """The failures in a row of one version on one server, or on all servers that are gone."""

    count: int
    at: float
    """When the last one was."""
    reason: str
    address: ModelAddress
    server: str
    """Where the last one was."""
    pool: Pool
    """That server's."""
    refused_bytes: int = 0
    """The most device memory that it was found to need where it was refused; 0: it was not measured."""

    @property
    def again_at(self) -> float:
        """When it may be tried again: 10 s after the first failure, twice as long after each, up to 5 minutes."""
        return self.at + pause_after(self.count)

    def plus(self, other: "LoadFailure") -> "LoadFailure":
        """Both together."""
        last = max(self, other, key=lambda failure: failure.at)
        needed = max(self.refused_bytes, other.refused_bytes)
        return replace(last, count=self.count + other.count, refused_bytes=needed)


@dataclass(frozen=True, slots=True)
class Failures:
    """All that is known of failed loads."""

    here: Mapping[ReplicaKey, LoadFailure] = field(default_factory=dict[ReplicaKey, LoadFailure])
    """On servers that are there. Kept when the server forgets, so that it is not asked too soon."""
    gone: Mapping[VersionKey, LoadFailure] = field(default_factory=dict[VersionKey, LoadFailure])
    """On servers that are gone: a new server is like them."""

    def __bool__(self) -> bool:
        return bool(self.here or self.gone)

    def of(self, address: ModelAddress) -> "ModelFailures":
        """Those of one model."""
        return ModelFailures(
            {key: failure for key, failure in self.here.items() if failure.address == address},
            {version: failure for (whose, version), failure in self.gone.items() if whose == address},
        )


@dataclass(frozen=True, slots=True)
class ModelFailures:
    """The failed loads of one model, of all its versions."""

    here: Mapping[ReplicaKey, LoadFailure] = field(default_factory=dict[ReplicaKey, LoadFailure])
    gone: Mapping[int, LoadFailure] = field(default_factory=dict[int, LoadFailure])

    def __bool__(self) -> bool:
        return bool(self.here or self.gone)

    def of_version(self, version: int) -> "VersionFailures":
        here = {key.server: failure for key, failure in self.here.items() if key.version == version}
        return VersionFailures(here, self.gone.get(version))


@dataclass(frozen=True, slots=True)
class VersionFailures:
    """The failed loads of one version of a model."""

    here: Mapping[str, LoadFailure] = field(default_factory=dict[str, LoadFailure])
    """By server."""
    gone: LoadFailure | None = None
    """On servers that are gone."""

    def __bool__(self) -> bool:
        return bool(self.here or self.gone)

    @property
    def all(self) -> tuple[LoadFailure, ...]:
        return (*self.here.values(), *(() if self.gone is None else (self.gone,)))

    @property
    def refused_bytes(self) -> int:
        """The most device memory that a load was found to need; 0: it was not measured."""
        return max((failure.refused_bytes for failure in self.all), default=0)

    def refusing(self, now: float) -> frozenset[str]:
        """The servers that are not asked now."""
        return frozenset(server for server, failure in self.here.items() if now < failure.again_at)

    def may_open(self, now: float, pools: Collection[Pool]) -> bool:
        """Whether a new server of these pools may be started for it: a second one at once, others ever more rarely.

        It is tried again on servers of theirs where it failed, and on no other: those do not stand in the way of a new one.
        """
        here = [failure for failure in self.here.values() if failure.pool in pools]
        if len(here) >= _MOST_SERVERS:
            return False
        if self.gone is None:
            return True
        # What failed on servers that are gone failed on one at least.
        first, *others = (self.gone, *here)
        together = first
        for other in others:
            together = together.plus(other)
        return now >= together.again_at


def pause_after(attempts: int) -> float:
    """Seconds to wait after so many failures in a row: 10, doubling, at most 300."""
    return min(_FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 10), _LONGEST_PAUSE_S)


def note(
    failures: Failures,
    fleet: Fleet,
    now: float,
    *,
    is_first_look: bool = False,
    is_same: Callable[[ModelAddress], bool] = lambda _: True,
) -> Failures:
    """What is known of failures after a look at the fleet: new ones counted, cured and old ones dropped.

    `is_first_look`: nothing is remembered, so that how often a load failed before is not known; then pauses start anew.
    `is_same`: whether the model of an address is there, and is the one that it was.
    """
    noted = {
        key: failure for key, failure in failures.here.items() if key.server in fleet.servers and is_same(failure.address)
    }
    ready: set[VersionKey] = set()
    for _, replicas in fleet.by_server.values():
        for replica in replicas:
            if replica.stage is ReplicaStage.FAILED and replica.holding is not None:
                _note_failed(noted, replica, replica.holding, now, is_first_look=is_first_look)
            elif failures and replica.stage is ReplicaStage.READY:
                noted.pop(replica.key, None)
                ready.add((replica.address, replica.version))
    gone = _gone(failures, fleet)
    if not gone:
        return Failures(noted)
    kept = {
        key: failure
        for key, failure in gone.items()
        if key not in ready and now - failure.at < _FORGOTTEN_AFTER_S and is_same(failure.address)
    }
    return Failures(noted, kept)


def _note_failed(
    noted: dict[ReplicaKey, LoadFailure], replica: Replica, holding: Holding, now: float, *, is_first_look: bool
) -> None:
    known = noted.get(replica.key)
    at = now if is_first_look else holding.failed_at
    if known is not None and (at is None or at <= known.at):
        return
    noted[replica.key] = LoadFailure(
        count=1 if known is None else known.count + 1,
        at=now if at is None else at,
        reason=holding.reason,
        address=replica.address,
        server=replica.server.name,
        pool=replica.server.pool,
        refused_bytes=max(holding.refused_bytes or 0, known.refused_bytes if known else 0),
    )


def _gone(failures: Failures, fleet: Fleet) -> dict[VersionKey, LoadFailure]:
    """What failed on servers that are gone, with those that went since the last look."""
    gone = dict(failures.gone)
    for key, failure in failures.here.items():
        if key.server not in fleet.servers:
            before = gone.get((failure.address, key.version))
            gone[failure.address, key.version] = failure if before is None else before.plus(failure)
    return gone
