"""What a conversion says of the artifact it made; kept beside the model files, trusted by controller and servers."""

import json
from typing import ClassVar, Literal

from forebay_schema.digests import digest_of
from forebay_schema.documents import Document, Part
from forebay_schema.tensors import TensorSpec

SandboxLevel = Literal["full", "no-filesystem", "none"]
MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"


class ArtifactFile(Part):
    name: str
    size_bytes: int
    sha256: str


class Verification(Part):
    """How the converted model was compared with its source, and how close it came."""

    samples: int
    samples_from: Literal["given", "drawn"]
    max_relative_error: float
    beyond: int = 0
    """Samples whose error is larger than was allowed, few enough to be accepted: at a tie or a threshold models jump."""
    agreement: float
    """Share of samples on which both name the same class (1.0 where outputs are no classes and all are within tolerance)."""
    accuracy: float | None = None
    """Against labels that the source never saw; None where no labels were given."""
    deterministic: bool = True
    batch_sizes: tuple[int, ...] = ()
    """The batch sizes that were tried and agreed."""


class MemoryEstimate(Part):
    batch_size: int
    bytes: int


class Manifest(Document):
    document_name: ClassVar[str] = "manifest"

    format: str
    """What the source was, for example `sklearn`."""
    files: tuple[ArtifactFile, ...]
    source_sha256: str
    source_bytes: int
    tools: dict[str, str]
    """Names and versions of what converted it."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batching: bool
    """Whether the first dimension of every input and output is a batch that varies."""
    verification: Verification
    memory: tuple[MemoryEstimate, ...]
    sandbox: SandboxLevel = "full"

    def digest(self) -> str:
        """The address in the store of an artifact that is made now: the digest of its manifest, and through it of every file.

        Of an artifact that lies there, `address_of` tells it: another version of Forebay may have known other fields.
        """
        return digest_of(self.model_dump(mode="json"))

    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def memory_for(self, batch_size: int) -> int:
        """The estimate for a batch size: that of the smallest batch estimated which is no smaller, else of the largest."""
        by_size = sorted(self.memory, key=lambda estimate: estimate.batch_size)
        fitting = [estimate.bytes for estimate in by_size if estimate.batch_size >= batch_size]
        return fitting[0] if fitting else (by_size[-1].bytes if by_size else 0)


def address_of(manifest: str | bytes) -> str:
    """The digest by which a manifest's artifact lies in the store, from its content there, whatever version wrote it."""
    return digest_of(json.loads(manifest))
