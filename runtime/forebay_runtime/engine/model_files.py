"""Models in a Triton model repository: `<root>/<model>/config.pbtxt`, `<root>/<model>/<version>/model.onnx`."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec

from forebay_runtime.engine.model_copies import ModelCopies
from forebay_runtime.protocol import model_config
from forebay_runtime.protocol.model_config import ModelConfig

_CONFIG: Final = "config.pbtxt"
_DEFAULT_FILE: Final = "model.onnx"
_VERSION: Final = re.compile("[1-9][0-9]{0,17}")
"""Folders of versions; Triton passes others over, too."""


class ModelFilesError(RuntimeError):
    """A model whose files are not there or cannot be read."""


@dataclass(frozen=True, slots=True)
class RepositoryModel:
    """A model's folder on this machine. `fingerprint` changes when a file does."""

    name: str
    folder: Path
    config: ModelConfig
    has_config: bool
    versions: tuple[int, ...]
    fingerprint: str

    def model_file(self, version: int, config: ModelConfig) -> Path:
        """Where a version's ONNX file is.

        Raises:
            ModelFilesError: the configuration names a file outside of the version's folder.
        """
        filename = config.default_model_filename or _DEFAULT_FILE
        if Path(filename).name != filename or filename == "..":
            raise ModelFilesError(
                f"default_model_filename of model '{self.name}' is '{filename}': it must be the name of a file in the"
                " version's folder"
            )
        return self.folder / str(version) / filename

    def labels(self, config: ModelConfig) -> Mapping[str, tuple[str, ...]]:
        """Names of classes, by output.

        Raises:
            ModelFilesError: a label file that the configuration names is not there.
        """
        return {output.name: self._label_lines(output.label_filename) for output in config.output if output.label_filename}

    def _label_lines(self, filename: str) -> tuple[str, ...]:
        if Path(filename).name != filename or filename == "..":
            raise ModelFilesError(f"label_filename '{filename}' of model '{self.name}' must be a file in the model's folder")
        path = self.folder / filename
        try:
            return tuple(path.read_text(encoding="utf-8").splitlines())
        except OSError as error:
            raise ModelFilesError(f"the label file {filename} of model '{self.name}' cannot be read: {error}") from None


def size_of(model_file: Path) -> int:
    """Bytes of the model and of the files beside and below it, where big models keep their weights."""
    return sum(path.stat().st_size for path in model_file.parent.rglob("*") if path.is_file())


class ModelRepository:
    """A repository: a folder, or any fsspec URI (its models are copied to `scratch` to be loaded)."""

    def __init__(self, uri: str, scratch: Path) -> None:
        self._filesystem: Any
        self._root: str
        self._filesystem, self._root = fsspec.core.url_to_fs(uri)
        self._is_local = "file" in _protocols(self._filesystem)
        self._copies = ModelCopies(self._filesystem, self._root, scratch / "repository")

    def names(self) -> tuple[str, ...]:
        """The models that are there.

        Raises:
            ModelFilesError: the repository cannot be listed.
        """
        try:
            # Some file systems remember what they listed before.
            self._filesystem.invalidate_cache()
            entries = self._filesystem.ls(self._root, detail=True)
        except Exception as error:
            # Each file system has exceptions of its own.
            raise ModelFilesError(f"the model repository {self._root} cannot be read: {error}") from None
        folders = [str(entry["name"]).rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory"]
        return tuple(sorted(name for name in folders if not name.startswith(".")))

    def model(self, name: str) -> RepositoryModel:
        """Read a model's folder.

        Raises:
            ModelFilesError: there is none of that name, or its files or its configuration cannot be read.
        """
        if name not in self.names():
            raise ModelFilesError(f"failed to load '{name}', failed to poll from model repository")
        if self._is_local:
            folder = Path(self._root) / name
            return _read(name, folder, _fingerprint(folder))
        try:
            copy = self._copies.current(name)
        except Exception as error:
            # Each file system has exceptions of its own.
            raise ModelFilesError(f"failed to load '{name}', its files cannot be fetched: {error}") from None
        return _read(name, copy.folder, copy.fingerprint)


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _read(name: str, folder: Path, fingerprint: str) -> RepositoryModel:
    config_file = folder / _CONFIG
    has_config = config_file.is_file()
    config = model_config.empty()
    if has_config:
        try:
            config = model_config.from_text(config_file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, model_config.ConfigError) as error:
            raise ModelFilesError(f"failed to load '{name}', {error}") from None
    versions = sorted(int(entry.name) for entry in folder.iterdir() if entry.is_dir() and _VERSION.fullmatch(entry.name))
    return RepositoryModel(name, folder, config, has_config, tuple(versions), fingerprint)


def _fingerprint(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    seen = [f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()
