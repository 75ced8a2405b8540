"""Copies of a remote repository's models on this machine, each made once for as long as its files stay the same."""

import hashlib
import shutil
import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

_KEPT: Final = 2
"""Copies of one model: the newest, and the one that may still be loaded from."""
_MARKS: Final = frozenset(
    [
        "checksum",
        "contentmd5",
        "crc32c",
        "created",
        "digest",
        "etag",
        "generation",
        "lastmodified",
        "md5",
        "md5hash",
        "modified",
        "mtime",
        "updated",
        "versionid",
    ]
)
"""What file systems call the fields of a listing that change with a file's content, lower case, without `-` and `_`."""


@dataclass(frozen=True, slots=True)
class ModelCopy:
    """`fingerprint` changes when a file of the remote model does."""

    folder: Path
    fingerprint: str


class ModelCopies:
    """May be used by many threads at once."""

    def __init__(self, filesystem: Any, root: str, folder: Path) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._folder = folder
        self._lock = threading.Lock()
        self._copying: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def current(self, name: str) -> ModelCopy:
        """The model as the remote repository has it now; fetched only if its listing is not that of a copy.

        Raises:
            Exception: the repository cannot be read; each file system has exceptions of its own.
        """
        with self._lock:
            copying = self._copying[name]
        with copying:
            files = self._listing(name)
            fingerprint = _fingerprint(files)
            if fingerprint is None:
                return self._unmarked(name, files)
            target = self._folder / name / fingerprint
            if target.is_dir():
                target.touch()
            else:
                self._copy(name, files, target)
            return ModelCopy(target, fingerprint)

    def _listing(self, name: str) -> dict[str, Mapping[str, Any]]:
        """What is known of each file, by its path within the model's folder."""
        root = f"{self._root}/{name}/"
        # Some file systems remember what they listed before.
        self._filesystem.invalidate_cache()
        files: dict[str, Mapping[str, Any]] = {}
        for path, entry in self._filesystem.find(root, detail=True).items():
            within = str(path).partition(root)[2]
            if not within or ".." in PurePosixPath(within).parts:
                raise ValueError(f"'{path}' is no file in the folder {root}")
            files[within] = entry if _marks(entry) else self._filesystem.info(path)
        return files

    def _unmarked(self, name: str, files: Mapping[str, Any]) -> ModelCopy:
        """Where no listing tells a change, the files' contents do."""
        part = self._folder / name / f".{uuid.uuid4().hex}"
        try:
            self._copy(name, files, part)
            digest = hashlib.sha256()
            for path in sorted(files):
                digest.update(f"{path} {hashlib.sha256((part / path).read_bytes()).hexdigest()}\n".encode())
            fingerprint = digest.hexdigest()
            target = part.with_name(fingerprint)
            if not target.is_dir():
                part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return ModelCopy(target, fingerprint)

    def _copy(self, name: str, files: Mapping[str, Any], target: Path) -> None:
        """Whole or not at all."""
        part = target.with_name(f".{uuid.uuid4().hex}")
        part.mkdir(parents=True)
        try:
            for path in files:
                (part / path).parent.mkdir(parents=True, exist_ok=True)
            self._filesystem.get([f"{self._root}/{name}/{path}" for path in files], [str(part / path) for path in files])
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        for old in sorted(target.parent.iterdir(), key=_changed)[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def _fingerprint(files: Mapping[str, Mapping[str, Any]]) -> str | None:
    """None: of some file nothing is known that would change with its content."""
    if not all(_marks(entry) for entry in files.values()):
        return None
    seen = [f"{path} {entry.get('size')} {_marks(entry)}" for path, entry in sorted(files.items())]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def _marks(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    named = ((key.lower().replace("-", "").replace("_", ""), value) for key, value in entry.items())
    return sorted((key, str(value)) for key, value in named if key in _MARKS and value)


def _changed(path: Path) -> float:
    return path.stat().st_mtime
