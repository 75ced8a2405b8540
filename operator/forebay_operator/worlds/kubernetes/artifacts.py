"""The store of artifacts: listed now and then, in a thread, by whatever file system its URI names."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from forebay_operator.domain.snapshot import StoredArtifact
from forebay_schema.documents import DocumentError
from forebay_schema.logs import Logger
from forebay_schema.manifest import MANIFEST_FILE
from forebay_schema.store import ConversionRecord, artifact_uri

LIST_S: Final = 600.0
_DIGEST_CHARACTERS: Final = 64
_PARTS: Final = 4
_log: Final = Logger("forebay.artifacts")


class Artifacts:
    """Knows what lies in the store, and deletes what nobody names any more."""

    def __init__(self, uri: str, changed: Callable[[], None], every_s: float = LIST_S) -> None:
        self._uri = uri.rstrip("/")
        self._changed = changed
        self._every_s = every_s
        self._seen: tuple[StoredArtifact, ...] = ()
        self._doomed: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self.problem = ""
        """Why the store could not be listed the last time."""

    def uri(self, namespace: str, digest: str) -> str:
        return artifact_uri(self._uri, namespace, digest)

    def seen(self) -> tuple[StoredArtifact, ...]:
        """Every artifact of the last listing that was not ordered to go."""
        if not self._doomed:
            return self._seen
        return tuple(each for each in self._seen if (each.namespace, each.digest) not in self._doomed)

    def collect(self, namespace: str, digest: str) -> None:
        """Delete an artifact and the conversion records that name it."""
        self._doomed.add((namespace, digest))
        self._wake.set()

    async def run(self) -> None:
        """List and delete until cancelled."""
        while True:
            self._wake.clear()
            await self._turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()

    async def _turn(self) -> None:
        doomed = set(self._doomed)
        try:
            found = await asyncio.to_thread(_tend, self._uri, doomed)
        except Exception as error:  # every file system has errors of its own
            if str(error) != self.problem:
                _log.warning(
                    "the store of artifacts cannot be read", store=self._uri, error=f"{type(error).__name__}: {error}"
                )
            self.problem = str(error)
            return
        self.problem = ""
        self._doomed -= doomed
        if found != self._seen:
            self._seen = found
            self._changed()


def _tend(uri: str, doomed: set[tuple[str, str]]) -> tuple[StoredArtifact, ...]:
    """Delete what is doomed, and list what is left."""
    import fsspec  # noqa: PLC0415 - slow to import, and only here

    files, root = fsspec.core.url_to_fs(uri)
    for namespace, digest in sorted(doomed):
        _delete(files, str(root), namespace, digest)
    files.invalidate_cache()
    found = [
        StoredArtifact(namespace=namespace, digest=digest, stored_at=_stored_at(info))
        for path, info in files.glob(f"{root}/*/artifacts/*/{MANIFEST_FILE}", detail=True).items()
        for namespace, digest in [_named(path)]
        if len(digest) == _DIGEST_CHARACTERS
    ]
    return tuple(sorted(found, key=lambda each: (each.namespace, each.digest)))


def _delete(files: Any, root: str, namespace: str, digest: str) -> None:
    """The records first: what they name is always there."""
    for path in files.glob(f"{root}/{namespace}/conversions/*.json"):
        with contextlib.suppress(FileNotFoundError, DocumentError):
            if ConversionRecord.from_json(files.cat_file(path)).artifact == digest:
                files.rm_file(path)
    with contextlib.suppress(FileNotFoundError):
        files.rm(artifact_uri(root, namespace, digest), recursive=True)


def _named(path: str) -> tuple[str, str]:
    parts = path.split("/")
    return parts[-_PARTS], parts[-2]


def _stored_at(info: dict[str, Any]) -> float:
    moment = info.get("mtime") or info.get("LastModified") or info.get("created") or 0.0
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(moment)
