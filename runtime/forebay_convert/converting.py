"""Process A, seen from outside: runs it, and takes what it left as copies that it can never reach again."""

import os
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from forebay_convert.children import check_ended
from forebay_convert.failures import ConversionError, refusal
from forebay_convert.progress import Deadline, Progress
from forebay_convert.reports import Hearing
from forebay_convert.rooms import SUSPECT, Room
from forebay_convert.sandbox.collection import CollectionError, collect, open_folder
from forebay_convert.sandbox.supervisor import ChildOrder, run_child
from forebay_convert.sandbox.watchdog import Budget
from forebay_convert.want_of_room import is_full, no_room
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
    """What process A left, as copies; `model_sha256` is of the copied bytes."""

    model: Path
    model_sha256: str
    reference: Path
    samples: Path


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
) -> tuple[str, ...]:
    """Run process A on a source, which leaves what it makes in `room.out`; its words, for display.

    Raises:
        ConversionError: it gave up, or was stopped.
    """
    hearing = Hearing(lambda phase: progress("converting", phase=phase))
    ended = run_child(_order(source, room, limits, deadline), hearing.hear)
    if ended.exit_code != 0 and ended.breach is None and is_full(room.work):
        raise ConversionError(no_room("convert", "what the source is converted to", room.work))
    check_ended(ended, hearing, "The source", "load" if not hearing.phase else "convert")
    return tuple(hearing.notes)


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


def collect_converted(room: Room, source_bytes: int, given_samples: Path | None) -> Converted:
    """Copies of what process A left; `given_samples`: where the samples are that it did not draw itself.

    Raises:
        ConversionError: it left something else than the files asked for.
    """
    try:
        return _collected(room, artifact_limit(source_bytes), given_samples)
    except CollectionError as error:
        raise ConversionError(
            refusal("convert", f"The process that converted the source did not keep to its task: {error}.", SUSPECT)
        ) from error


def _collected(room: Room, limit: int, given_samples: Path | None) -> Converted:
    model, reference, samples = (room.sealed / name for name in ("model.onnx", "reference.npz", "samples.npz"))
    with _opened(room.out) as out:
        sha256 = collect(out, model.name, model, limit)
        collect(out, reference.name, reference, _MOST_ARRAYS)
        if given_samples is None:
            collect(out, samples.name, samples, _MOST_ARRAYS)
    return Converted(model, sha256, reference, given_samples or samples)


@contextmanager
def _opened(out: Path) -> Generator[int]:
    """The folder `out`, by no link on the way that process A may have made."""
    with ExitStack() as opened:
        folder = open_folder(out.parent.parent)
        opened.callback(os.close, folder)
        for name in (out.parent.name, out.name):
            folder = open_folder(Path(name), folder)
            opened.callback(os.close, folder)
        yield folder
