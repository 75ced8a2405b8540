"""Which versions of a model in a repository are served."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latest:
    """The `count` highest versions."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class Every:
    """All versions that are there."""


@dataclass(frozen=True, slots=True)
class Specific:
    """Exactly these versions."""

    versions: tuple[int, ...]


VersionPolicy = Latest | Every | Specific


@dataclass(frozen=True, slots=True)
class Selection:
    """The versions to serve, ascending, and those asked for that are not there."""

    serve: tuple[int, ...]
    missing: tuple[int, ...] = ()


def select(policy: VersionPolicy, available: Iterable[int]) -> Selection:
    """Apply the policy to the versions that the repository has."""
    present = sorted(set(available))
    match policy:
        case Latest(count=count):
            return Selection(tuple(present[-count:]) if count > 0 else ())
        case Every():
            return Selection(tuple(present))
        case Specific(versions=wanted):
            return Selection(
                serve=tuple(version for version in present if version in wanted),
                missing=tuple(version for version in sorted(set(wanted)) if version not in present),
            )
