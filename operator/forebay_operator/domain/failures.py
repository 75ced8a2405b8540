"""Loads that failed: where, how often, and when the same server is asked again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from forebay_operator.domain.fleet import Fleet, Replica, ReplicaKey, ReplicaStage

_FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """The failures in a row of one version on one server. Kept when the server forgets, so that it is not asked too soon."""

    count: int
    at: float
    """When the last one was."""
    reason: str

    @property
    def again_at(self) -> float:
        """When the server may be asked again: 10 s after the first failure, twice as long after each, up to 5 minutes."""
        return self.at + pause_after(self.count)


def pause_after(attempts: int) -> float:
    """Seconds to wait after so many failures in a row: 10, doubling, at most 300."""
    return min(_FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 10), _LONGEST_PAUSE_S)


def note(
    failures: Mapping[ReplicaKey, LoadFailure], fleet: Fleet, now: float, *, is_first_look: bool = False
) -> Mapping[ReplicaKey, LoadFailure]:
    """What is known of failures after a look at the fleet: new ones counted, those of lost servers and cured ones dropped.

    `is_first_look`: nothing is remembered, so that how often a load failed before is not known; then pauses start anew.
    """
    noted = {key: failure for key, failure in failures.items() if key.server in fleet.servers}
    for _, replicas in fleet.by_server.values():
        for replica in replicas:
            _note_replica(noted, replica, now, is_first_look=is_first_look)
    return noted


def _note_replica(noted: dict[ReplicaKey, LoadFailure], replica: Replica, now: float, *, is_first_look: bool) -> None:
    if replica.stage is ReplicaStage.READY:
        if noted:
            noted.pop(replica.key, None)
    elif replica.stage is ReplicaStage.FAILED and replica.holding is not None:
        known = noted.get(replica.key)
        at = now if is_first_look else replica.holding.failed_at
        if known is None:
            noted[replica.key] = LoadFailure(1, now if at is None else at, replica.holding.reason)
        elif at is not None and at > known.at:
            noted[replica.key] = LoadFailure(known.count + 1, at, replica.holding.reason)


def of_version(failures: Iterable[tuple[ReplicaKey, LoadFailure]], version: int) -> dict[str, LoadFailure]:
    """The failures of one version, by server, out of those of a model."""
    return {key.server: failure for key, failure in failures if key.version == version}
