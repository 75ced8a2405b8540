"""What was seen of the API server's objects: frozen values, replaced by newer versions of themselves and never changed."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from forebay_operator.manifests.kinds import WATCHED, Json, Kind

Key = tuple[str, str]
"""Namespace and name."""
_DELETED: Final = "DELETED"
_TOMBSTONES: Final = 4096


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as it was last seen. Whoever has it only reads it."""

    key: Key
    uid: str
    version: int
    object: Mapping[str, Any]

    @classmethod
    def of(cls, content: Json) -> "Seen":
        """An object as an API server gives it. One that was never there has no uid and no version."""
        metadata = content["metadata"]
        key = str(metadata.get("namespace", "")), str(metadata["name"])
        return cls(key, str(metadata.get("uid", "")), int(metadata.get("resourceVersion", 0)), content)

    @property
    def metadata(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.object["metadata"]
        return found

    @property
    def name(self) -> str:
        return self.key[1]

    @property
    def namespace(self) -> str:
        return self.key[0]

    @property
    def labels(self) -> Mapping[str, str]:
        return self.metadata.get("labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.metadata.get("annotations") or {}

    @property
    def is_going(self) -> bool:
        return "deletionTimestamp" in self.metadata


class Store:
    """The objects of every kind that is watched."""

    def __init__(self, changed: Callable[[Kind], None]) -> None:
        """`changed` is called after each change of a kind's objects."""
        self._changed = changed
        self._objects: dict[Kind, dict[Key, Seen]] = {kind: {} for kind in WATCHED}
        self._revisions = dict.fromkeys(WATCHED, 0)
        # The answer to a write may come after the news that its object is gone.
        self._tombstones: OrderedDict[str, None] = OrderedDict()

    def event(self, kind: Kind, type_of_event: str | None, content: Json) -> None:
        """Take an event of a watch. The deletion of an object may come after the creation of its namesake."""
        if type_of_event == _DELETED:
            gone = Seen.of(content)
            self._remove(kind, gone.key, gone.uid)
        else:
            self.put(kind, content)

    def put(self, kind: Kind, content: Json) -> None:
        """Take an object, unless a newer version of it is there already."""
        seen = Seen.of(content)
        known = self._objects[kind].get(seen.key)
        if seen.uid in self._tombstones or (known is not None and known.version >= seen.version):
            return
        content["metadata"].pop("managedFields", None)
        self._objects[kind][seen.key] = seen
        self._note(kind)

    def find(self, kind: Kind, namespace: str, name: str) -> Seen | None:
        return self._objects[kind].get((namespace, name))

    def all(self, kind: Kind) -> Iterator[Seen]:
        """Every object of a kind, in the order in which they were first seen."""
        return iter(self._objects[kind].values())

    def count(self, kind: Kind) -> int:
        return len(self._objects[kind])

    def revision(self, kind: Kind) -> int:
        """A number that rises with each change of the kind's objects."""
        return self._revisions[kind]

    def drop_gone(self, kind: Kind, listed: Mapping[Key, tuple[str, int]], at: int, namespace: str = "") -> list[Seen]:
        """Forget what a listing at version `at` (of one namespace, or of all) does not have, and return it."""
        gone = [
            seen
            for key, seen in self._objects[kind].items()
            if seen.version <= at
            and (not namespace or key[0] == namespace)
            and (key not in listed or listed[key][0] != seen.uid)
        ]
        for seen in gone:
            del self._objects[kind][seen.key]
        if gone:
            self._note(kind)
        return gone

    def missed(self, kind: Kind, listed: Mapping[Key, tuple[str, int]]) -> list[Key]:
        """What a listing has and this store has not, or only in an older version."""
        objects = self._objects[kind]
        return [key for key, (_, version) in listed.items() if key not in objects or objects[key].version < version]

    def clear(self) -> None:
        """Forget everything."""
        for kind, objects in self._objects.items():
            objects.clear()
            self._note(kind)

    def _remove(self, kind: Kind, key: Key, uid: str) -> None:
        self._tombstones[uid] = None
        if len(self._tombstones) > _TOMBSTONES:
            self._tombstones.popitem(last=False)
        known = self._objects[kind].get(key)
        if known is not None and known.uid == uid:
            del self._objects[kind][key]
            self._note(kind)

    def _note(self, kind: Kind) -> None:
        self._revisions[kind] += 1
        self._changed(kind)
