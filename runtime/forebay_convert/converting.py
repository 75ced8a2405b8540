"""Process A, seen from the parent: runs it, and takes what it left as copies that it can never reach again."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forebay_convert.children import Room, check_ended
from forebay_convert.failures import ConversionError, refusal
from forebay_convert.progress import Deadline, Progress
from forebay_convert.reports import Hearing
from forebay_convert.sandbox.collection import CollectionError, collect
from forebay_convert.sandbox.supervisor import ChildOrder, run_child
from forebay_convert.sandbox.watchdog import Budget
from forebay_schema.conversion import ConversionLimits, Format
from forebay_schema.manifest import SandboxLevel
from forebay_schema.tensors import TensorSpec

_SEED = 20_000
_LEAST_ARTIFACT = 256 << 20
_MOST_ARTIFACT = 2 << 30
_MOST_ARRAYS = 256 << 20
_GROWTH = 4
"""How much larger than its source an artifact may be; compressed sources grow."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What process A left, as copies; `model_sha256` is of the copied bytes. `notes` are its words, for display."""

    model: Path
    model_sha256: str
    reference: Path
    samples: Path
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceToConvert:
    path: Path
    size_bytes: int
    format: Format
    inputs: Sequence[TensorSpec]
    samples: Path | None
    """In the room's `given` folder; None: process A draws them."""
    level: SandboxLevel
    trusted: bool = False
    """By its user, whatever the level."""


def convert_source(
    source: SourceToConvert, room: Room, limits: ConversionLimits, deadline: Deadline, progress: Progress
) -> Converted:
    """Run process A on a source.

    Raises:
        ConversionError: it gave up, was stopped, or left something else than the files asked for.
    """
    hearing = Hearing(lambda phase: progress("converting", phase=phase))
    out = os.open(room.out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ended = run_child(_order(source, room, limits, deadline), hearing.hear)
        check_ended(ended, hearing, "The source", "load" if not hearing.phase else "convert")
        return _collected(source, room, out, tuple(hearing.notes))
    finally:
        os.close(out)


def _order(source: SourceToConvert, room: Room, limits: ConversionLimits, deadline: Deadline) -> ChildOrder:
    artifact = artifact_limit(source.size_bytes)
    return ChildOrder(
        module="forebay_convert.source",
        task={
            "source": str(source.path),
            "format": source.format,
            "inputs": [entry.model_dump(mode="json") for entry in source.inputs],
            "samples": None if source.samples is None else str(source.samples),
            "seed": _SEED,
            "trusted": source.trusted or source.level != "none",
            "work": str(room.work),
            "out": str(room.out),
        },
        level=source.level,
        work=room.work,
        read=(room.given,),
        write=(room.work,),
        file_bytes=artifact,
        budget=Budget(max(1.0, deadline.remaining()), limits.memory_bytes, disk_bytes=artifact + 2 * _MOST_ARRAYS),
    )


def artifact_limit(source_bytes: int) -> int:
    return min(_MOST_ARTIFACT, max(_LEAST_ARTIFACT, _GROWTH * source_bytes))


def _collected(source: SourceToConvert, room: Room, out: int, notes: tuple[str, ...]) -> Converted:
    model, reference, samples = (room.sealed / name for name in ("model.onnx", "reference.npz", "samples.npz"))
    try:
        sha256 = collect(out, model.name, model, artifact_limit(source.size_bytes))
        collect(out, reference.name, reference, _MOST_ARRAYS)
        if source.samples is None:
            collect(out, samples.name, samples, _MOST_ARRAYS)
    except CollectionError as error:
        raise ConversionError(
            refusal("convert", f"The process that converted the source did not keep to its task: {error}.", _SUSPECT)
        ) from error
    return Converted(model, sha256, reference, source.samples or samples, notes)


_SUSPECT = "Only convert files from people you trust; to be sure of this one, save the model anew."
