"""Notices that a local model file, or its samples, changed under the same path: that is another source to the step."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from forebay_operator.domain.deployment import Deployment, DeploymentSpec
from forebay_schema.addresses import ModelAddress
from forebay_schema.digests import digest_of


class Editions:
    """Names editions by time, size and inode of the files. A source with a sha256 needs none: that names its content."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._last: dict[ModelAddress, tuple[DeploymentSpec, str, DeploymentSpec]] = {}

    def of(self, deployment: Deployment) -> Deployment:
        """The deployment with the edition of its files. Its spec is the same value again as long as nothing changed."""
        versions = [version for path in _files(deployment.spec) if (version := self._version(path)) is not None]
        if not versions:
            return deployment
        asked = deployment.spec.source.edition
        edition = digest_of([*versions, asked] if asked else versions)[:16]
        written, named, spec = self._last.get(deployment.address, (None, "", deployment.spec))
        if written is not deployment.spec or named != edition:
            spec = replace(deployment.spec, source=replace(deployment.spec.source, edition=edition))
            self._last[deployment.address] = (deployment.spec, edition, spec)
        return replace(deployment, spec=spec)

    def _version(self, path: Path) -> tuple[int, int, int] | None:
        """Of a file that is gone, the last one seen: what was converted from it serves on."""
        try:
            found = path.stat()
        except OSError:
            return self._seen.get(path)
        self._seen[path] = (found.st_mtime_ns, found.st_size, found.st_ino)
        return self._seen[path]


def _files(spec: DeploymentSpec) -> list[Path]:
    uris = [None if spec.source.sha256 else spec.source.uri, spec.verification.samples_uri]
    return [path for uri in uris if uri and (path := _local(uri))]


def _local(uri: str) -> Path | None:
    if uri.startswith("/"):
        return Path(uri)
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else None
