"""Writes to the API server: only what differs, one write at a time for each object, a pause after each refusal.

Everything is applied server-side by one field manager. What another manager has changed is named in an Event, then put right.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from forebay_operator.manifests import names
from forebay_operator.manifests.covering import difference
from forebay_operator.manifests.event import News, Subject
from forebay_operator.manifests.kinds import WATCHED, Json, Kind, Ref, ref_of
from forebay_operator.worlds.kubernetes.api_server import ApiServer, Cause, RefusedError, UnreachableError
from forebay_operator.worlds.kubernetes.refusals import Refusal, refusal
from forebay_operator.worlds.kubernetes.store import Seen, Store
from forebay_schema.digests import digest_of
from forebay_schema.logs import Logger

_AT_ONCE: Final = 16
_MOST_WAITING: Final = 128
"""Writes that are begun and not done. What is not begun is asked for again when half of them are done, and by the next step:
few, so that what is urgent does not wait behind thousands."""
_UNREACHABLE_PAUSE_S: Final = 1.0
_CONFLICT: Final = 409
_log: Final = Logger("forebay.writer")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object as it should be. `stamp`: digest of it, which the object carries."""

    kind: Kind
    ref: Ref
    manifest: Json
    stamp: str


def wanted(kind: Kind, manifest: Json) -> Wanted:
    """The manifest with the digest of itself: that a field is not wanted any more is not seen by comparing."""
    stamp = digest_of(manifest)[:16]
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), names.APPLIED: stamp}
    return Wanted(kind, ref_of(kind, manifest), {**manifest, "metadata": {**metadata, "annotations": annotations}}, stamp)


Tell = Callable[[Subject, News], None]
Written = tuple[str, int]
"""The digest of what was applied, and the version that the object had then."""


class Writer:
    """Every write of the operator that is not an Event or the Lease goes through here."""

    def __init__(
        self, api: ApiServer, store: Store, tell: Tell, changed: Callable[[], None], may_act: Callable[[], bool] = lambda: True
    ) -> None:
        """`changed`: called when the outcome of a write may matter to the next step. `may_act`: whether we lead."""
        self._api = api
        self._store = store
        self._tell = tell
        self._changed = changed
        self._may_act = may_act
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[tuple[Ref, str], asyncio.Task[None]] = {}
        self._refusals: dict[tuple[Ref, str], Refusal] = {}
        self._refusals_revision = 0
        self._written: dict[tuple[Ref, str], Written] = {}
        self._resume_at = 0.0
        self._was_full = False
        self.has_room = asyncio.Event()
        """Set when more can be begun, after so many writes were under way that some were not."""

    @property
    def refusals(self) -> Mapping[tuple[Ref, str], Refusal]:
        """What was refused last time, by object and subresource."""
        return self._refusals

    @property
    def is_full(self) -> bool:
        """Whether so many writes are under way that no other is begun now."""
        return len(self._tasks) >= _MOST_WAITING

    @property
    def refusals_revision(self) -> int:
        """A number that rises whenever something is refused, or is no more."""
        return self._refusals_revision

    def is_busy(self, ref: Ref, subresource: str = "") -> bool:
        """Whether a write to it is under way."""
        return (ref, subresource) in self._tasks

    def keep(self, wish: Wanted) -> bool:
        """Have an object be as wanted: applied if it is absent, differs, or was last applied with other fields.

        Returns whether there was nothing to do.
        """
        live = self._store.find(wish.kind, wish.ref.namespace, wish.ref.name)
        if live is not None and (live.is_going or not self._differs(wish, live)):
            return True
        if self._may_begin(wish.ref, ""):
            self._begin(wish.ref, "", self._apply(wish, live))
        return False

    def set_status(self, kind: Kind, manifest: Json) -> None:
        """Apply a status. The caller knows that it differs."""
        ref = ref_of(kind, manifest)
        if not self._may_begin(ref, "status"):
            return
        digest = digest_of(manifest)
        live = self._store.find(kind, ref.namespace, ref.name)
        if live is None or self._written.get((ref, "status")) == (digest, live.version):
            return
        self._begin(ref, "status", self._apply_status(kind, ref, manifest, digest))

    def have(self, kind: Kind, manifest: Json, patch: Sequence[Json]) -> None:
        """Have an object that is not watched, unless the same was written by this process.

        `patch`: what makes one of ours that is there be as wanted, and fails a test where it is somebody else's.
        """
        ref, digest = ref_of(kind, manifest), digest_of(manifest)
        if self._written.get((ref, "")) != (digest, 0):
            self._begin(ref, "", self._have(kind, ref, manifest, patch))

    def doubt(self, ref: Ref) -> None:
        """An object that is not watched may not be as it was applied."""
        self._written.pop((ref, ""), None)

    def annotate(self, kind: Kind, live: Seen, annotations: Mapping[str, str]) -> None:
        """Have these annotations of ours, and no others, on an object that somebody else made."""
        metadata = {"name": live.name, "namespace": live.namespace, "uid": live.uid}
        manifest: Json = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
        if annotations:
            metadata_with: Json = metadata | {"annotations": dict(annotations)}
            manifest["metadata"] = metadata_with
        self._begin(Ref(kind.name, live.namespace, live.name), "", self._put(kind, manifest, force=True))

    def create(self, wish: Wanted) -> None:
        """Make an object, and never take over one that is there."""
        if self._may_begin(wish.ref, ""):
            self._begin(wish.ref, "", self._create(wish))

    def delete(self, kind: Kind, live: Seen, *, unchanged: bool = False) -> None:
        """Delete this very object. `unchanged`: only if it is as it was seen."""
        ref = Ref(kind.name, live.namespace, live.name)
        version = str(live.version) if unchanged else ""
        self._begin(ref, "", self._delete(kind, live, version))

    def forget(self, ref: Ref, subresource: str = "") -> None:
        """Nobody wants the object any more: its refusals count no more."""
        if self._refusals.pop((ref, subresource), None):
            self._refusals_revision += 1

    async def close(self) -> None:
        """Stop every write that is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _differs(self, wish: Wanted, live: Seen) -> bool:
        known = self._written.get((wish.ref, ""))
        if known is not None and known[0] == wish.stamp and known[1] >= live.version:
            return False
        if live.annotations.get(names.APPLIED) != wish.stamp or difference(live.object, wish.manifest):
            return True
        self._written[wish.ref, ""] = (wish.stamp, live.version)
        return False

    def _may_begin(self, ref: Ref, subresource: str) -> bool:
        """One write at a time for each object, a pause after a refusal, not too many at once in all."""
        key = (ref, subresource)
        if key in self._tasks or self.is_full:
            return False
        refused = self._refusals.get(key)
        return time.monotonic() >= max(self._resume_at, refused.again_at if refused else 0.0)

    def _begin(self, ref: Ref, subresource: str, work: Coroutine[Any, Any, None]) -> None:
        """Write, if that may begin now; else it is asked for again by the next step."""
        key = (ref, subresource)
        if not self._may_begin(ref, subresource):
            work.close()
            return
        task = asyncio.ensure_future(self._try(key, work))
        self._tasks[key] = task
        self._was_full = self._was_full or self.is_full
        task.add_done_callback(lambda _: self._done(key))

    def _done(self, key: tuple[Ref, str]) -> None:
        self._tasks.pop(key, None)
        if self._was_full and len(self._tasks) <= _MOST_WAITING // 2:
            self._was_full = False
            self.has_room.set()

    async def _try(self, key: tuple[Ref, str], work: Coroutine[Any, Any, None]) -> None:
        try:
            async with self._room:
                if self._may_act():
                    await work
        except RefusedError as error:
            self._refuse(key, error)
        except UnreachableError as error:
            if time.monotonic() >= self._resume_at:
                _log.warning("the API server does not answer", object=str(key[0]), error=str(error))
            self._resume_at = time.monotonic() + _UNREACHABLE_PAUSE_S
        else:
            if self._refusals.pop(key, None):
                self._refusals_revision += 1
                self._changed()
        finally:
            work.close()

    def _refuse(self, key: tuple[Ref, str], error: RefusedError) -> None:
        if error.is_absence:
            # Its namespace or its owner goes: there is nothing to report to.
            self._refusals.pop(key, None)
            return
        before = self._refusals.get(key)
        found = refusal(key[0], error, before.count + 1 if before else 1, time.monotonic())
        self._refusals[key] = found
        self._refusals_revision += 1
        if before is None or before.sentence != found.sentence:
            _log.warning("a write was refused", object=str(key[0]), subresource=key[1], reason=found.sentence)
            self._changed()

    async def _apply(self, wish: Wanted, live: Seen | None) -> None:
        path = wish.kind.path(wish.ref.namespace, wish.ref.name)
        try:
            answer = await self._api.apply(path, wish.manifest, force=False)
        except RefusedError as error:
            if not error.is_field_conflict:
                raise
            self._name_rivals(wish.kind, live, error.causes)
            answer = await self._api.apply(path, wish.manifest, force=True)
        self._take(wish.kind, answer)
        self._written[wish.ref, ""] = (wish.stamp, int(answer["metadata"]["resourceVersion"]))

    async def _apply_status(self, kind: Kind, ref: Ref, manifest: Json, digest: str) -> None:
        answer = await self._api.apply(kind.path(ref.namespace, ref.name, "status"), manifest, force=True)
        self._take(kind, answer)
        self._written[ref, "status"] = (digest, int(answer["metadata"]["resourceVersion"]))
        self._changed()

    async def _have(self, kind: Kind, ref: Ref, manifest: Json, patch: Sequence[Json]) -> None:
        path = kind.path(ref.namespace, ref.name)
        try:
            await self._api.patch(path, patch)
        except RefusedError as error:
            if error.is_failed_patch:
                said = f'{kind.plural} "{ref.name}" already exists, and is not Forebay\'s'
                raise RefusedError(_CONFLICT, "AlreadyExists", said) from error
            if not error.is_absence:
                raise
            # Rights by name allow this, and no POST.
            await self._api.apply(path, manifest, force=False)
        self._written[ref, ""] = (digest_of(manifest), 0)

    async def _put(self, kind: Kind, manifest: Json, *, force: bool) -> None:
        metadata = manifest["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        self._take(kind, await self._api.apply(path, manifest, force=force))

    async def _create(self, wish: Wanted) -> None:
        self._take(wish.kind, await self._api.create(wish.kind.path(wish.ref.namespace), wish.manifest))

    async def _delete(self, kind: Kind, live: Seen, version: str) -> None:
        with contextlib.suppress(RefusedError):
            await self._api.delete(kind.path(live.namespace, live.name), live.uid, version)

    def _take(self, kind: Kind, answer: Json) -> None:
        """What was written is seen at once: the next step does not order it again."""
        if kind in WATCHED:
            self._store.put(kind, answer)

    def _name_rivals(self, kind: Kind, live: Seen | None, causes: tuple[Cause, ...]) -> None:
        fields = ", ".join(sorted({cause.field for cause in causes}))
        rivals = ", ".join(sorted({_manager(cause.message) for cause in causes}))
        changed = str(Ref(kind.name, live.namespace, live.name)) if live is not None else kind.name
        _log.warning("another manager changed an object; it is put right", object=changed, fields=fields, manager=rivals)
        if live is not None:
            note = f"{rivals} changed {fields}; it was put right. Change the ModelDeployment or Forebay's settings instead."
            news = News("Warning", "ChangedByOthers", "PutRight", note)
            self._tell(Subject(kind, live.namespace, live.name, live.uid), news)


def _manager(message: str) -> str:
    """The manager in `conflict with "kubectl-edit" using apps/v1`."""
    parts = message.split('"')
    return parts[1] if len(parts) > 1 else "somebody"
