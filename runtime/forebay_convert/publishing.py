"""Puts artifacts where they are wanted, whole or not at all, and finds those that are there already."""

import errno
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

from forebay_convert.addresses import shown
from forebay_convert.failures import ConversionError, passing
from forebay_convert.sandbox.removal import remove_tree
from forebay_convert.want_of_room import is_for_want_of_room
from forebay_convert.workplace import own_folder
from forebay_schema.conversion import ConversionFailure
from forebay_schema.documents import DocumentError
from forebay_schema.manifest import MANIFEST_FILE, MODEL_FILE, Manifest, address_of
from forebay_schema.store import ConversionRecord, artifact_uri, artifacts_uri, conversion_uri

_INCOMING = ".incoming-"
_FULL = ("QuotaExceeded", "StorageFull", "XMinioStorageFull")
"""Codes of S3 servers that take no more: VersityGW, Ceph and MinIO have their own."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact in the store: its digest there, which is that of its manifest as it was written, and the manifest."""

    digest: str
    manifest: Manifest


class Destination(Protocol):
    """Where artifacts go, and where earlier ones may be found."""

    def find(self, key: str) -> Stored | None:
        """What an earlier conversion of this key made; None if there was none, or it is no longer whole."""
        ...

    def publish(self, model: Path, manifest: Manifest, key: str) -> None:
        """Whole or nothing, also if this process is killed on the way."""
        ...


@dataclass(frozen=True, slots=True)
class FolderDestination:
    """A folder that gets the model and its manifest, the manifest last; nothing is ever found in it."""

    folder: Path

    def find(self, key: str) -> Stored | None:
        del key
        return None

    def publish(self, model: Path, manifest: Manifest, key: str) -> None:
        del key
        with _translated(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            with own_folder(self.folder, _INCOMING) as incoming:
                _write_artifact(incoming, model, manifest)
                (self.folder / MANIFEST_FILE).unlink(missing_ok=True)
                for name in (MODEL_FILE, MANIFEST_FILE):
                    (incoming / name).replace(self.folder / name)
            _sync(self.folder)


class StoreDestination:
    """A namespace of a store: `artifacts/<digest>/` and `conversions/<key>.json`."""

    def __init__(self, store: str, namespace: str) -> None:
        self._store, self._namespace = store, namespace
        with _translated(store):
            self._files: Any = fsspec.core.url_to_fs(store)[0]
        self._is_local = isinstance(self._files, LocalFileSystem)

    def find(self, key: str) -> Stored | None:
        with _translated(self._store):
            record = self._read(conversion_uri(self._store, self._namespace, key))
            if record is None:
                return None
            try:
                return self._stored(ConversionRecord.from_json(record).artifact)
            except DocumentError:
                return None

    def _stored(self, digest: str) -> Stored | None:
        """None: it is no longer there, or not whole."""
        folder = artifact_uri(self._store, self._namespace, digest)
        manifest = self._read(f"{folder}/{MANIFEST_FILE}")
        if manifest is None:
            return None
        found = Manifest.from_json(manifest)
        return Stored(digest, found) if address_of(manifest) == digest and self._is_whole(folder, found) else None

    def publish(self, model: Path, manifest: Manifest, key: str) -> None:
        digest = manifest.digest()
        record = ConversionRecord(artifact=digest).to_json().encode()
        with _translated(self._store):
            if self._is_local:
                self._publish_locally(model, manifest, digest)
            else:
                self._upload(model, manifest, digest)
            self._write(conversion_uri(self._store, self._namespace, key), record)

    def _publish_locally(self, model: Path, manifest: Manifest, digest: str) -> None:
        artifacts = Path(self._path(artifacts_uri(self._store, self._namespace)))
        final = artifacts / digest
        with own_folder(artifacts, _INCOMING) as incoming:
            _write_artifact(incoming, model, manifest)
            if final.exists() and not ((final / MANIFEST_FILE).exists() and self._is_whole(str(final), manifest)):
                remove_tree(final)
            if not final.exists():
                incoming.rename(final)
        _sync(artifacts)

    def _upload(self, model: Path, manifest: Manifest, digest: str) -> None:
        folder = artifact_uri(self._store, self._namespace, digest)
        self._files.put_file(str(model), self._path(f"{folder}/{MODEL_FILE}"))
        self._files.pipe_file(self._path(f"{folder}/{MANIFEST_FILE}"), manifest.to_json(indent=2).encode())

    def _write(self, uri: str, content: bytes) -> None:
        path = self._path(uri)
        if not self._is_local:
            self._files.pipe_file(path, content)
            return
        target = Path(path)
        with own_folder(target.parent, _INCOMING) as incoming:
            _write_synced(incoming / target.name, content)
            (incoming / target.name).replace(target)
        _sync(target.parent)

    def _read(self, uri: str) -> bytes | None:
        # Listings may be cached from before another process wrote here.
        self._files.invalidate_cache()
        try:
            content: bytes = self._files.cat_file(self._path(uri))
        except FileNotFoundError:
            return None
        return content

    def _is_whole(self, folder: str, manifest: Manifest) -> bool:
        try:
            return all(self._files.size(self._path(f"{folder}/{file.name}")) == file.size_bytes for file in manifest.files)
        except FileNotFoundError:
            return False

    def _path(self, uri: str) -> str:
        path: str = self._files._strip_protocol(uri)  # noqa: SLF001 - fsspec's documented way for those who keep a file system
        return path


@contextmanager
def _translated(store: str) -> Generator[None]:
    """Turn what file systems raise into a sentence. Their clients' classes share no base but Exception."""
    try:
        yield
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(unusable(store, error)) from error


def unusable(store: str, error: Exception) -> ConversionFailure:
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if _is_for_want_of_room(error):
        remedy = "Make room in it, or have it enlarged: the conversion is tried again by itself."
        return passing("publish", f"The store at {shown(store)} is full: {said}.", remedy)
    if _is_read_only(error):
        remedy = "Mount it so that this process may write to it: the conversion is tried again by itself."
        return passing("publish", f"The store at {shown(store)} is mounted read-only: {said}.", remedy)
    remedy = "Check that it exists, that it has room, and that this process may write to it."
    return passing("publish", f"The store at {shown(store)} cannot be used: {said}.", remedy)


def _is_for_want_of_room(error: BaseException | None) -> bool:
    """By what file systems say, and S3 servers, whose answers are the causes of what their clients raise."""
    while error is not None:
        if is_for_want_of_room(error):
            return True
        if _says_full(getattr(error, "response", None)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_read_only(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EROFS


def _says_full(answer: Any) -> bool:
    """Whether an S3 server's answer, as its client keeps it, says so; other clients keep other things under that name."""
    if not isinstance(answer, Mapping):
        return False
    said: Mapping[str, Any] = answer
    status = said.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return bool(status == HTTPStatus.INSUFFICIENT_STORAGE or said.get("Error", {}).get("Code") in _FULL)


def _write_artifact(folder: Path, model: Path, manifest: Manifest) -> None:
    with model.open("rb") as source, (folder / MODEL_FILE).open("xb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    _write_synced(folder / MANIFEST_FILE, manifest.to_json(indent=2).encode())
    # A temporary folder is its owner's alone; an artifact is for the servers, too.
    folder.chmod(0o755)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
