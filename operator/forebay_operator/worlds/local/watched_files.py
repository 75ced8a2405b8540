"""The files that `forebay up` was given: which are there, and which have changed since the last look."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forebay_operator.api.loading import SUFFIXES

_Version = tuple[int, int, int]
_UNSEEN: Final = (-1, -1, -1)
_UNREADABLE: Final = (-2, -2, -2)


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
        now = {path: version for path in self._files() if (version := self._version(path)) is not None}
        changed = [path for path, version in now.items() if self._versions.get(path) != version]
        gone = [path for path in self._versions if path not in now]
        self._versions = now
        return [*(FileChange(path, gone=False) for path in changed), *(FileChange(path, gone=True) for path in gone)]

    def present(self) -> set[Path]:
        """The files that are there, which this does not look at yet."""
        return {path for path in self._files() if self._version(path) is not None}

    def look_again(self, change: FileChange) -> None:
        """Find this change at the next look, too."""
        self._versions[change.path] = _UNSEEN

    def _files(self) -> Iterator[Path]:
        for path in self._paths:
            if path.is_dir():
                yield from self._files_of(path)
            else:
                yield path

    def _files_of(self, folder: Path) -> list[Path]:
        try:
            return sorted(child for child in folder.iterdir() if _is_shown(child))
        except OSError:
            # Nobody knows what is in it: what was there stays, and the folder itself is what has to be told of.
            return [*(path for path in self._versions if path.parent == folder), folder]

    def _version(self, path: Path) -> _Version | None:
        """None: there is no such file. One that cannot be looked at is as it was."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return self._versions.get(path, _UNREADABLE)
        return (found.st_mtime_ns, found.st_size, found.st_ino)


def _is_shown(path: Path) -> bool:
    """Editors' own files begin with a dot."""
    return path.suffix in SUFFIXES and not path.name.startswith(".")
