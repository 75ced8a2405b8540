"""What the loaded versions take of the device's memory, and whether one more fits."""

from dataclasses import dataclass
from typing import Final, Self

from forebay_runtime.domain.orders import VersionKey

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """Why a version may not be loaded, with the numbers."""

    reason: str
    needed_bytes: int
    """What it takes of the device."""


@dataclass(frozen=True, slots=True)
class MemoryLedger:
    """Footprints of loaded versions on one device, in bytes."""

    total: int
    held: tuple[tuple[VersionKey, int], ...] = ()
    """With their sizes; a version that is being replaced is there twice, as it is in the device's memory."""

    @property
    def used(self) -> int:
        return sum(size for _, size in self.held)

    def check(self, footprint: int, limit: int = 0) -> DoesNotFit | None:
        """Whether a version with this footprint may be held beside the others; `limit` is its own (0: none).

        What the same version holds already counts as well: both are in memory while one replaces the other.
        """
        if limit and footprint > limit:
            return DoesNotFit(f"it takes {_mib(footprint)} of device memory, its own limit is {_mib(limit)}", footprint)
        free = self.total - self.used
        if footprint > free:
            return DoesNotFit(
                f"it takes {_mib(footprint)} of device memory, {_mib(max(0, free))} of {_mib(self.total)} are free"
                f" ({_mib(self.used)} in use by {len(self.held)} loaded versions)",
                footprint,
            )
        return None

    def with_version(self, key: VersionKey, footprint: int) -> Self:
        return type(self)(self.total, (*self.held, (key, footprint)))

    def without(self, key: VersionKey, footprint: int) -> Self:
        """Once less what was held with this footprint."""
        held = list(self.held)
        held.remove((key, footprint))
        return type(self)(self.total, tuple(held))


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB"
