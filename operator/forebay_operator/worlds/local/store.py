"""The local store: which artifacts lie there, and deleting what nobody names any more."""

import contextlib
import shutil
from pathlib import Path
from typing import Final

from forebay_operator.domain.snapshot import StoredArtifact
from forebay_schema.documents import DocumentError
from forebay_schema.manifest import MANIFEST_FILE, Manifest
from forebay_schema.store import ConversionRecord, artifact_uri, artifacts_uri

_DIGEST_CHARACTERS: Final = 64


class LocalStore:
    """A folder in the layout that conversions and servers share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions: dict[str, int] = {}
        self._listed: tuple[StoredArtifact, ...] = ()

    @property
    def uri(self) -> str:
        return str(self._root)

    def artifact(self, namespace: str, digest: str) -> str:
        """Where an artifact lies."""
        return artifact_uri(self.uri, namespace, digest)

    def manifest(self, namespace: str, digest: str) -> Manifest | None:
        """What an artifact says of itself; None: it is not there."""
        try:
            return Manifest.from_json((Path(self.artifact(namespace, digest)) / MANIFEST_FILE).read_bytes())
        except (OSError, DocumentError):
            return None

    def artifacts(self) -> tuple[StoredArtifact, ...]:
        """Every whole artifact. Listed again only when something was published or deleted."""
        versions = {path.name: _version(self._artifacts(path.name)) for path in self._root.iterdir()}
        if versions != self._versions:
            found = (stored for namespace in sorted(versions) for stored in self._list(namespace))
            self._listed = tuple(sorted(found, key=lambda stored: (stored.namespace, stored.digest)))
            self._versions = versions
        return self._listed

    def collect(self, namespace: str, digest: str) -> None:
        """Delete an artifact and the conversion records that name it. The records go first: what they name is always there."""
        for path in (self._root / namespace / "conversions").glob("*.json"):
            with contextlib.suppress(OSError, DocumentError):
                if ConversionRecord.from_json(path.read_bytes()).artifact == digest:
                    path.unlink()
        shutil.rmtree(self.artifact(namespace, digest), ignore_errors=True)

    def _list(self, namespace: str) -> list[StoredArtifact]:
        return [
            StoredArtifact(namespace=namespace, digest=path.name, stored_at=path.stat().st_mtime)
            for path in self._artifacts(namespace).glob("*")
            if len(path.name) == _DIGEST_CHARACTERS and (path / MANIFEST_FILE).exists()
        ]

    def _artifacts(self, namespace: str) -> Path:
        return Path(artifacts_uri(self.uri, namespace))


def _version(folder: Path) -> int:
    """Changes whenever something is renamed into a folder or out of it."""
    return folder.stat().st_mtime_ns if folder.is_dir() else 0
