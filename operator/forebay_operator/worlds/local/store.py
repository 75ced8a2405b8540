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
        self._listed: tuple[StoredArtifact, ...] | None = None

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
        """Every whole artifact. Listed once, and again after `refresh`."""
        if self._listed is None:
            self._listed = tuple(sorted(self._list(), key=lambda stored: (stored.namespace, stored.digest)))
        return self._listed

    def refresh(self) -> None:
        """Look again at the next question: something was published or deleted."""
        self._listed = None

    def collect(self, namespace: str, digest: str) -> None:
        """Delete an artifact and the conversion records that name it. The records go first: what they name is always there."""
        for path in (self._root / namespace / "conversions").glob("*.json"):
            with contextlib.suppress(OSError, DocumentError):
                if ConversionRecord.from_json(path.read_bytes()).artifact == digest:
                    path.unlink()
        shutil.rmtree(self.artifact(namespace, digest), ignore_errors=True)
        self.refresh()

    def _list(self) -> list[StoredArtifact]:
        namespaces = [path.name for path in self._root.iterdir() if path.is_dir()]
        return [
            StoredArtifact(namespace=namespace, digest=path.name, stored_at=path.stat().st_mtime)
            for namespace in namespaces
            for path in Path(artifacts_uri(self.uri, namespace)).glob("*")
            if len(path.name) == _DIGEST_CHARACTERS and (path / MANIFEST_FILE).exists()
        ]
