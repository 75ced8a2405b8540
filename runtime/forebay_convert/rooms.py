"""The work folder of a conversion: which stage keeps what where, and the documents that they leave to each other."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from forebay_convert.failures import ConversionError, refusal
from forebay_convert.sandbox.collection import CollectionError, open_folder, read
from forebay_convert.sandbox.removal import remove_tree
from forebay_schema.conversion_stages import (
    CONVERTED,
    FETCHED,
    HELD,
    PUBLISHING,
    ConversionStage,
    ConvertedSource,
    FetchedSource,
    FoundArtifact,
)
from forebay_schema.documents import Document, DocumentError

_FETCHED_FILE = "fetched.json"
_FOUND_FILE = "found.json"
_CONVERTED_FILE = "converted.json"
_LONGEST_WORDS = 64 << 10

D = TypeVar("D", bound=Document)

SUSPECT = "Only convert files from people you trust; to be sure of this one, save the model anew."


@dataclass(frozen=True, slots=True)
class Room:
    """Folders of one conversion. `given` is read-only for process A, which writes only to `work`; no other it ever sees."""

    top: Path

    @property
    def given(self) -> Path:
        return self.top / FETCHED / "given"

    @property
    def source(self) -> Path:
        return self.given / "source"

    @property
    def samples(self) -> Path:
        """The inputs of given samples."""
        return self.given / "samples.npz"

    @property
    def held(self) -> Path:
        return self.top / HELD

    @property
    def labels(self) -> Path:
        return self.held / "labels.npy"

    @property
    def work(self) -> Path:
        return self.top / CONVERTED / "work"

    @property
    def out(self) -> Path:
        """Where process A leaves what it made."""
        return self.work / "out"

    @property
    def sealed(self) -> Path:
        """Copies of what process A left, for process B."""
        return self.top / PUBLISHING / "sealed"

    @property
    def scratch(self) -> Path:
        return self.top / PUBLISHING / "scratch"

    @classmethod
    def within(cls, top: Path) -> "Room":
        """A room with all its folders, for a conversion in one process tree."""
        room = cls(top)
        for stage in ("fetch", "convert", "publish"):
            room.prepare(stage)
        return room

    def prepare(self, stage: ConversionStage) -> None:
        """Make the folders that a stage writes to, empty: it may have been begun before, and ended with its machine."""
        folders = {"fetch": (self.given,), "convert": (self.work, self.out), "publish": (self.sealed, self.scratch)}
        for folder in folders.get(stage, ()):
            folder.parent.mkdir(exist_ok=True)
            remove_tree(folder)
            folder.mkdir(mode=0o700)
        if stage == "fetch":
            self.held.mkdir(exist_ok=True)
            for left in self.held.iterdir():
                left.unlink()

    def leave_fetched(self, document: FetchedSource) -> None:
        _leave(self.top / FETCHED / _FETCHED_FILE, document)

    def leave_found(self, document: FoundArtifact) -> None:
        (self.top / FETCHED).mkdir(exist_ok=True)
        _leave(self.top / FETCHED / _FOUND_FILE, document)

    def leave_converted(self, document: ConvertedSource) -> None:
        _leave(self.top / CONVERTED / _CONVERTED_FILE, document)

    def fetched(self) -> FetchedSource | None:
        """None: nothing was fetched yet."""
        return _taken(self.top / FETCHED / _FETCHED_FILE, FetchedSource)

    def found(self) -> FoundArtifact | None:
        """None: nothing was found, or not looked for yet."""
        return _taken(self.top / FETCHED / _FOUND_FILE, FoundArtifact)

    def converted(self) -> ConvertedSource:
        """What the stage said that opened the source; it may lie.

        Raises:
            ConversionError: it left no such document.
        """
        try:
            folder = open_folder(self.top / CONVERTED)
            try:
                return ConvertedSource.from_json(read(folder, _CONVERTED_FILE, _LONGEST_WORDS))
            finally:
                os.close(folder)
        except (CollectionError, DocumentError) as error:
            said = "it left no converted.json that can be read" if isinstance(error, DocumentError) else str(error)
            raise ConversionError(
                refusal("convert", f"The process that converted the source did not keep to its task: {said}.", SUSPECT)
            ) from error


def _leave(path: Path, document: Document) -> None:
    """Whole or nothing."""
    incoming = path.with_suffix(".incoming")
    incoming.write_text(document.to_json())
    incoming.replace(path)


def _taken(path: Path, kind: type[D]) -> D | None:
    try:
        return kind.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
