"""The models this server knows: versions side by side, their states, and which of them answers a request."""

from collections.abc import Iterator
from dataclasses import dataclass

from forebay_runtime.domain.lifecycle import Event, State, advance
from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.protocol.errors import NotFoundError, UnavailableError
from forebay_runtime.service.loaded_version import LoadedVersion


@dataclass(slots=True)
class Slot:
    """What is known of one version; `loaded` is set while it is READY or UNLOADING."""

    state: State = State.UNKNOWN
    reason: str = ""
    refused_bytes: int = 0
    """The device memory that it was found to take, where it was refused for that."""
    loaded: LoadedVersion | None = None


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One line of the repository index; a model never loaded has neither version nor state."""

    name: str
    version: int | None
    state: State
    reason: str


class ModelStore:
    """Used from the event loop only."""

    def __init__(self) -> None:
        self._models: dict[str, dict[int, Slot]] = {}
        self._retiring: list[LoadedVersion] = []

    def knows(self, name: str) -> bool:
        return name in self._models

    def versions(self, name: str) -> dict[int, Slot]:
        return self._models.get(name, {})

    def slot(self, key: VersionKey) -> Slot:
        return self._models.get(key.model, {}).get(key.version) or Slot()

    def advance(self, key: VersionKey, event: Event, reason: str = "", refused_bytes: int = 0) -> Slot:
        """Move a version on in its life."""
        slot = self._models.setdefault(key.model, {}).setdefault(key.version, Slot())
        slot.state = advance(slot.state, event)
        slot.reason = reason
        slot.refused_bytes = refused_bytes
        return slot

    def loaded(self) -> Iterator[LoadedVersion]:
        """All that is loaded, unloading versions included, replaced ones not."""
        return (slot.loaded for slots in self._models.values() for slot in slots.values() if slot.loaded is not None)

    def refused(self) -> Iterator[tuple[VersionKey, int]]:
        """Versions that were found to take more memory than they may, and how much that is."""
        for model, slots in self._models.items():
            for version, slot in slots.items():
                if slot.state is State.UNAVAILABLE and slot.refused_bytes:
                    yield VersionKey(model, version), slot.refused_bytes

    def retire(self, replaced: LoadedVersion) -> None:
        """Another took its place; it still answers what is in it."""
        self._retiring.append(replaced)

    def retired(self, replaced: LoadedVersion) -> None:
        """It is empty."""
        self._retiring = [version for version in self._retiring if version is not replaced]

    def idle(self) -> bool:
        """Whether no request waits or executes, in what is loaded or in what was replaced."""
        return not any(version.batcher.waiting or version.batcher.executing for version in (*self.loaded(), *self._retiring))

    def from_repository(self, key: VersionKey) -> bool:
        """Whether the version is loaded, and not from an artifact."""
        loaded = self.slot(key).loaded
        return loaded is not None and not loaded.origin.from_artifact

    def ready_versions(self, name: str) -> list[int]:
        return sorted(version for version, slot in self.versions(name).items() if slot.state is State.READY)

    def serving(self, name: str, version: int | None) -> LoadedVersion:
        """The version that answers: the one named, else the highest that is ready.

        Raises:
            NotFoundError: no such model or version, or none is ready.
            UnavailableError: the version named is not ready now.
        """
        slots = self._models.get(name)
        if slots is None:
            raise NotFoundError(f"Request for unknown model: '{name}' is not found")
        if version is None:
            return self._latest(name, slots)
        slot = slots.get(version)
        if slot is None:
            raise NotFoundError(f"Request for unknown model: '{name}' version {version} is not found")
        if slot.state is not State.READY or slot.loaded is None:
            raise UnavailableError(f"Request for unknown model: '{name}' version {version} is not at ready state")
        return slot.loaded

    def _latest(self, name: str, slots: dict[int, Slot]) -> LoadedVersion:
        best: LoadedVersion | None = None
        for slot in slots.values():
            loaded = slot.loaded
            if slot.state is State.READY and loaded and (best is None or loaded.key.version > best.key.version):
                best = loaded
        if best is None:
            raise NotFoundError(f"Request for unknown model: '{name}' has no available versions")
        return best

    def index(self) -> list[IndexRow]:
        """Every version that was ever asked for, in order."""
        return [
            IndexRow(name, version, slot.state, slot.reason)
            for name, slots in sorted(self._models.items())
            for version, slot in sorted(slots.items())
        ]
