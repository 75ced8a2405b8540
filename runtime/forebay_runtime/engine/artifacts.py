"""Artifacts from the store: fetched, verified against their manifest and digest, kept on the scratch volume."""

import errno
import hashlib
import re
import shutil
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec

from forebay_schema.digests import DIGEST_PATTERN
from forebay_schema.documents import DocumentError
from forebay_schema.logs import Logger
from forebay_schema.manifest import MANIFEST_FILE, ArtifactFile, Manifest, address_of

_log = Logger(__name__)
_CHUNK: Final = 1 << 20
_SILENCE_S: Final = 60.0
_LEAST_PROGRESS: Final = 16 << 10
"""Bytes in that time. Less, and a model of some megabytes would take hours."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class ArtifactError(RuntimeError):
    """An artifact that cannot be fetched, or is not what it should be."""


class NoRoomError(ArtifactError):
    """There is no room for the artifact on the scratch volume."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified artifact on this machine."""

    folder: Path
    manifest: Manifest


class ArtifactCache:
    """Verified artifacts by digest, the least recently fetched removed when they take more than `limit_bytes`."""

    def __init__(self, folder: Path, limit_bytes: int, silence_s: float = _SILENCE_S) -> None:
        """`silence_s`: a store that sends hardly anything for so long is given up."""
        self._folder = folder
        self._silence_s = silence_s
        self._partial = folder.with_name(f"{folder.name}-partial")
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._in_use: Counter[str] = Counter()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._trimming = threading.Lock()

    @contextmanager
    def in_use(self, digest: str) -> Generator[None]:
        """Within the block this artifact is not removed."""
        with self._lock:
            self._in_use[digest] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use[digest] -= 1

    def fetch(self, uri: str, digest: str, held: frozenset[str] = frozenset()) -> Artifact:
        """The artifact with this digest, from here where it is whole, else from `uri`. Blocks; in any thread.

        Where there is no room for it, others have to go that are neither `held` nor in use.

        Raises:
            ArtifactError: it cannot be fetched, or its files are not what the digest says.
        """
        if not re.fullmatch(DIGEST_PATTERN, digest):
            raise ArtifactError(f"'{digest}' is no digest of an artifact, expected 64 lower-case hexadecimal digits")
        with self._lock:
            fetching = self._fetching[digest]
        with self.in_use(digest), fetching:
            try:
                return self._fetch(uri, digest)
            except NoRoomError:
                if not self._trim(held, limit_bytes=0):
                    raise
                return self._fetch(uri, digest)

    def trim(self, held: frozenset[str]) -> None:
        """Remove what is over the limit, not held and not in use, oldest first. Blocks; in any thread."""
        try:
            self._trim(held, self._limit_bytes)
        except OSError as error:
            _log.error("artifacts that are not needed cannot be removed", folder=str(self._folder), reason=str(error))

    def _trim(self, held: frozenset[str], limit_bytes: int) -> int:
        """The bytes that are free now."""
        freed = 0
        with self._trimming:
            folders = sorted(self._folder.glob("*"), key=_changed)
            excess = sum(_size(path) for path in folders) - limit_bytes
            for path in folders:
                if freed < excess and path.name not in held:
                    freed += self._remove_unused(path)
        return freed

    def _remove_unused(self, folder: Path) -> int:
        """The bytes that are free now."""
        self._partial.mkdir(parents=True, exist_ok=True)
        doomed = self._partial / uuid.uuid4().hex
        with self._lock:
            if self._in_use[folder.name]:
                return 0
            # Out of the way at once: removing it takes long, and a fetch may want its place.
            folder.rename(doomed)
        size = _size(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        return size

    def _fetch(self, uri: str, digest: str) -> Artifact:
        target = self._folder / digest
        with _in_words(uri, self._folder.parent):
            if target.is_dir():
                try:
                    artifact = _verified(target, digest)
                except ArtifactError:
                    shutil.rmtree(target)
                else:
                    # That it was wanted may be forgotten where nothing can be written any more.
                    with suppress(OSError):
                        target.touch()
                    return artifact
            return self._download(uri, digest, target)

    def _download(self, uri: str, digest: str, target: Path) -> Artifact:
        part = self._partial / uuid.uuid4().hex
        part.mkdir(parents=True)
        try:
            _copy(uri, part, self._silence_s)
            _verified(part, digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return _verified(target, digest)


@contextmanager
def _in_words(uri: str, scratch: Path) -> Generator[None]:
    """What the system says of the scratch volume, or of a store that is a folder."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            where = f"in {scratch}: make room there, or give the server a larger scratch volume (--scratch)"
            raise NoRoomError(f"there is no room left ({error.strerror}) for the artifact {uri} {where}") from None
        if error.errno == errno.EROFS:
            where = (
                f"to {scratch}, which is mounted read-only: mount it so that the server may write, or name another (--scratch)"
            )
            raise ArtifactError(f"the artifact {uri} cannot be copied {where}") from None
        raise ArtifactError(f"the artifact {uri} cannot be fetched: {error}") from None


def _copy(uri: str, target: Path, silence_s: float) -> None:
    try:
        filesystem, root = fsspec.core.url_to_fs(uri)
        _get(filesystem, root, target / MANIFEST_FILE, silence_s)
        for file in _manifest(target).files:
            _get(filesystem, root, target / _plain_name(file), silence_s)
    except (ArtifactError, OSError):
        raise
    except Exception as error:
        # Each file system has exceptions of its own.
        raise ArtifactError(f"the artifact {uri} cannot be fetched: {error}") from None


def _get(filesystem: Any, root: str, target: Path, silence_s: float) -> None:
    """Fetch a file, in a thread that is left alone when hardly anything comes: stores may fall silent, or drip, for ever."""
    getting: Future[None] = Future()

    def get() -> None:
        try:
            filesystem.get_file(f"{root.rstrip('/')}/{target.name}", str(target))
            getting.set_result(None)
        except Exception as error:
            getting.set_exception(error)

    threading.Thread(target=get, name="artifact", daemon=True).start()
    seen = 0
    while True:
        try:
            return getting.result(silence_s)
        except TimeoutError:
            # The store's own, unless it is not done.
            if getting.done():
                raise
        before, seen = seen, target.stat().st_size if target.exists() else 0
        if seen - before < _LEAST_PROGRESS:
            said = f"it has sent {seen - before} bytes of {target.name} in {silence_s:.0f} s: see that the store answers"
            raise ArtifactError(f"the artifact {root} cannot be fetched: {said}")


def _plain_name(file: ArtifactFile) -> str:
    if Path(file.name).name != file.name or file.name in ("", ".", ".."):
        raise ArtifactError(f"the manifest names a file '{file.name}' outside of its artifact")
    return file.name


def _verified(folder: Path, digest: str) -> Artifact:
    manifest = _manifest(folder)
    address = address_of((folder / MANIFEST_FILE).read_bytes())
    if address != digest:
        raise ArtifactError(f"the artifact's manifest has the digest {address}, ordered was {digest}")
    for file in manifest.files:
        found = _sha256(folder / _plain_name(file))
        if found != file.sha256:
            raise ArtifactError(f"the artifact's file {file.name} has the sha256 {found}, its manifest says {file.sha256}")
    return Artifact(folder, manifest)


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest.from_json((folder / MANIFEST_FILE).read_bytes())
    except (OSError, DocumentError) as error:
        raise ArtifactError(f"the artifact's manifest cannot be read: {error}") from None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ArtifactError(f"the artifact's file {path.name} cannot be read: {error}") from None
    return digest.hexdigest()


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        # A fetch has just removed it, to fetch it anew.
        return 0.0


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except FileNotFoundError:
        return 0
