"""From one revision to the next: the new beside the old, traffic moves when the new is ready, then the old one goes."""

import enum
from collections.abc import Collection
from dataclasses import dataclass

from forebay_operator.domain.fleet import Replica, ReplicaKey
from forebay_operator.domain.snapshot import Pool


class Course(enum.Enum):
    """Where a ModelDeployment stands."""

    IDLE = "idle"
    """No replica is wanted."""
    PREPARING = "preparing"
    """The target is not converted; what there was before serves."""
    STEADY = "steady"
    """The target serves, or is the only one that can."""
    MOVING = "moving"
    """The target is being loaded; older replicas serve until enough of it are ready."""
    FALLEN_BACK = "fallen back"
    """The target's load failed; what there was before serves on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    course: Course
    serving: int = 0
    """The version that requests go to; 0: none is ready."""
    target_replicas: int = 0
    older_replicas: int = 0
    """Replicas of the older revision that are wanted like any others, and loaded where they are missing."""
    retained: tuple[Replica, ...] = ()
    """Replicas that stay as long as the target is not ready, and are not replaced when they are lost."""
    swappable: tuple[Replica, ...] = ()
    """Those of them that may go early, if that is the only way to make room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a rollout is judged by."""

    wanted: int
    target: int
    """Version of the target; it may not be loadable yet."""
    target_is_loadable: bool
    target_has_failed: bool
    older: int | None
    """Version of the revision before, if that can serve."""
    serving: int
    """The version that served last."""
    replicas: tuple[Replica, ...] = ()
    pools: Collection[Pool] = ()
    """Where replicas belong: one elsewhere is replaced like one of an older revision."""
    fading: Collection[ReplicaKey] = ()
    """Replicas that were on their way out already."""


def advance(standing: Standing) -> Rollout:
    """What to keep, load and send requests to.

    | wanted | target                              | older replicas | result                                    |
    |--------|-------------------------------------|----------------|-------------------------------------------|
    | 0      | any                                 | any            | idle: all go                              |
    | ≥ 1    | ready: as many as wanted, or as old | any            | steady: target serves, old ones go        |
    | ≥ 1    | not converted                       | any            | preparing: older revision is kept at size |
    | ≥ 1    | load failed, none ready             | any            | fallen back: the same, target tried again |
    | ≥ 1    | being loaded                        | some ready     | moving: old ones stay, may be swapped out |
    | ≥ 1    | being loaded                        | none ready     | steady: only the target is loaded         |
    """
    if standing.wanted == 0:
        return Rollout(course=Course.IDLE)
    well_placed = [each for each in _of(standing, standing.target) if each.server.pool in standing.pools]
    ready = sum(each.is_ready for each in well_placed)
    before = _serving_before(standing, ready)
    needed = min(standing.wanted, max(1, len(before)))
    # Replicas of the target that are only misplaced serve together with those in their place: both count.
    missing = standing.wanted - ready if before and all(each.version == standing.target for each in before) else 0
    if ready >= needed and missing <= 0:
        return Rollout(course=Course.STEADY, serving=standing.target, target_replicas=standing.wanted)
    if not standing.target_is_loadable:
        return _with_older(standing, Course.PREPARING, target_replicas=0)
    if standing.target_has_failed and not ready and standing.older is not None:
        return _with_older(standing, Course.FALLEN_BACK, target_replicas=standing.wanted)
    coming = sum(each.is_coming_or_here for each in well_placed)
    may_swap = coming < needed and not standing.target_has_failed
    otherwise = standing.target if ready else 0
    return _moving(standing, before, missing or standing.wanted, otherwise, may_swap=may_swap)


def _of(standing: Standing, version: int | None) -> list[Replica]:
    return [each for each in standing.replicas if each.version == version]


def _serving_before(standing: Standing, target_ready: int) -> list[Replica]:
    """Ready replicas that the target's have to take over from; none of those that have been relieved already."""
    older = [each for each in _of(standing, standing.older) if each.is_ready]
    elsewhere = [each for each in _of(standing, standing.target) if each.server.pool not in standing.pools]
    misplaced = [each for each in elsewhere if each.shows_ready]
    if target_ready and standing.serving == standing.target:
        older = []
        misplaced = [each for each in misplaced if each.key not in standing.fading]
    return older + misplaced


def _with_older(standing: Standing, course: Course, target_replicas: int) -> Rollout:
    older = _of(standing, standing.older)
    ready = [each for each in older if each.is_ready]
    misplaced = tuple(each for each in ready if each.server.pool not in standing.pools)
    return Rollout(
        course=course,
        serving=standing.older if ready and standing.older is not None else 0,
        target_replicas=target_replicas,
        older_replicas=standing.wanted if standing.older is not None else 0,
        retained=misplaced,
    )


def _moving(standing: Standing, before: list[Replica], most: int, otherwise: int, *, may_swap: bool) -> Rollout:
    """Loads the target. At most so many of those before are kept; where none of them is ready, that other version serves."""
    ranked = sorted(before, key=lambda each: (not each.is_ready, each.key in standing.fading, each.key))
    retained = tuple(ranked[:most])
    serving = next((each.version for each in retained if each.is_ready), otherwise)
    return Rollout(
        course=Course.MOVING if retained else Course.STEADY,
        serving=serving,
        target_replicas=standing.wanted,
        retained=retained,
        swappable=retained if may_swap else (),
    )
