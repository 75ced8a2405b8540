"""The stages of a conversion, and what each leaves to the next in their work folder.

`forebay-convert STAGE --order FILE --work DIR --result FILE`, one stage after the other in containers of their own, or all of
them in one process tree without STAGE. A stage may write to some folders of the work folder only, and sees few of the others:

| stage   | has credentials of | writes          | reads                    |
|---------|--------------------|-----------------|--------------------------|
| fetch   | the source         | fetched, held   |                          |
| find    | the store          | fetched         |                          |
| convert | nothing            | converted       | fetched                  |
| publish | the store          | publishing      | fetched, held, converted |

`convert` opens the source and is hostile from then on: nobody believes what lies in `converted`. `held` is what the source
must not see: labels. A stage that ends with status 0 has left its document, or has nothing to do; one that fails writes a
`ConversionResult` with its failure. Only `publish` writes one with an artifact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from forebay_schema.conversion import Format
from forebay_schema.documents import Document
from forebay_schema.manifest import Manifest

ConversionStage = Literal["fetch", "find", "convert", "publish"]

FETCHED: Final = "fetched"
HELD: Final = "held"
CONVERTED: Final = "converted"
PUBLISHING: Final = "publishing"


@dataclass(frozen=True, slots=True)
class StageFolders:
    """Folders of the work folder that a stage sees. The first one that it writes is its home, too."""

    writes: tuple[str, ...]
    reads: tuple[str, ...] = ()


FOLDERS: Final[Mapping[ConversionStage, StageFolders]] = {
    "fetch": StageFolders(writes=(FETCHED, HELD)),
    "find": StageFolders(writes=(FETCHED,)),
    "convert": StageFolders(writes=(CONVERTED,), reads=(FETCHED,)),
    "publish": StageFolders(writes=(PUBLISHING,), reads=(FETCHED, HELD, CONVERTED)),
}


def stages_of(source_sha256: str | None) -> tuple[ConversionStage, ...]:
    """The stages in their order. What was converted before is looked for as soon as the source's digest is known."""
    return ("fetch", "find", "convert", "publish") if source_sha256 is None else ("find", "fetch", "convert", "publish")


class FetchedSource(Document):
    """`fetch` → `find`, `convert`, `publish`: what was fetched."""

    document_name: ClassVar[str] = "fetched-source"

    sha256: str
    size_bytes: int
    format: Format
    runs_code: bool
    """Whether opening it can run code that its author chose."""
    has_samples: bool
    has_labels: bool
    began_at: float
    """Epoch seconds."""


class FoundArtifact(Document):
    """`find` → all others: the same was converted before, so that nothing is left to do but to say so."""

    document_name: ClassVar[str] = "found-artifact"

    digest: str
    manifest: Manifest


class ConvertedSource(Document):
    """`convert` → `publish`: the source's process came to its end. The rest is words, for display."""

    document_name: ClassVar[str] = "converted-source"

    notes: tuple[str, ...]
