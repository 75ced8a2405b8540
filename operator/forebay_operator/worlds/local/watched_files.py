"""The files that `forebay up` was given: which are there, and which have changed since the last look."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from forebay_operator.api.loading import SUFFIXES

_Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is new, changed or gone."""

    path: Path
    gone: bool


class WatchedFiles:
    """Looks at files and at the YAML files of folders."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [path.absolute() for path in paths]
        self._versions: dict[Path, _Version] = {}

    def changes(self) -> list[FileChange]:
        """What is different from the last look; at the first look, every file that is there."""
        now = {path: version for path in self._files() if (version := _version(path)) is not None}
        changed = [path for path, version in now.items() if self._versions.get(path) != version]
        gone = [path for path in self._versions if path not in now]
        self._versions = now
        return [*(FileChange(path, gone=False) for path in changed), *(FileChange(path, gone=True) for path in gone)]

    def _files(self) -> Iterator[Path]:
        for path in self._paths:
            if path.is_dir():
                yield from sorted(child for child in path.iterdir() if _is_shown(child))
            else:
                yield path


def _is_shown(path: Path) -> bool:
    """Editors' own files begin with a dot."""
    return path.suffix in SUFFIXES and not path.name.startswith(".")


def _version(path: Path) -> _Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
