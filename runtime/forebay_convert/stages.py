"""The four stages of a conversion: fetch, find, convert (process A), publish (process B, then the store).

What a stage knows of those before it, it knows from the room: they may have run in other containers.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from forebay_convert.converting import Converted, SourceToConvert, collect_converted, convert_source
from forebay_convert.failures import ConversionError, refusal
from forebay_convert.fetching import Fetch, fetch
from forebay_convert.given_samples import split_labels
from forebay_convert.progress import Deadline, Progress
from forebay_convert.publishing import Destination
from forebay_convert.reports import display
from forebay_convert.rooms import Room
from forebay_convert.sandbox.levels import check_level, in_a_pod
from forebay_convert.source_formats import infer_format
from forebay_convert.verifying import Report, judge, verify_model
from forebay_convert.versions import converter_version, in_words, tools_of
from forebay_schema.conversion import ConversionOptions, ConversionOrder, ConversionResult
from forebay_schema.conversion_stages import ConversionStage, ConvertedSource, FetchedSource, FoundArtifact
from forebay_schema.manifest import MODEL_FILE, ArtifactFile, Manifest, SandboxLevel
from forebay_schema.store import conversion_key

_MOST_SAMPLE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Task:
    """An order, and what its stages work with."""

    order: ConversionOrder
    room: Room
    destination: Callable[[], Destination]
    """Asked for by the stages only that have the store's credentials."""
    deadline: Deadline
    progress: Progress
    level: Callable[[], SandboxLevel]

    @property
    def options(self) -> ConversionOptions:
        return self.order.options

    def source_sha256(self) -> str | None:
        """The source's digest, as far as it is known."""
        fetched = self.room.fetched()
        return self.options.source.sha256 if fetched is None else fetched.sha256


def run_stage(stage: ConversionStage, task: Task) -> ConversionResult | None:
    """Do a stage's part; the result, when there is nothing left to do.

    Raises:
        ConversionError: the conversion cannot go on.
    """
    if stage != "publish" and task.room.found() is not None:
        return None
    return _STAGES[stage](task)


def key_of(options: ConversionOptions, source_sha256: str) -> str:
    """The same bytes under another address are the same conversion, so the address is no part of it."""
    content = options.model_dump(mode="json", exclude={"source": {"uri", "sha256"}})
    return conversion_key(source_sha256, content, converter_version())


def _fetch(task: Task) -> None:
    began_at = time.time()
    task.room.prepare("fetch")
    source = task.options.source
    wanted = Fetch("source", source.uri, task.order.limits.source_bytes, source.sha256)
    fetched = fetch(wanted, task.room.source, task.deadline, task.progress)
    task.progress("fetched", what="source", bytes=fetched.size_bytes, sha256=fetched.sha256)
    source_format = infer_format(fetched.path, source.uri, source.format)
    has_labels = _fetch_samples(task)
    task.room.leave_fetched(
        FetchedSource(
            sha256=fetched.sha256,
            size_bytes=fetched.size_bytes,
            format=source_format.name,
            runs_code=source_format.runs_code,
            has_samples=task.options.verification.samples_uri is not None,
            has_labels=has_labels,
            began_at=began_at,
        )
    )


def _fetch_samples(task: Task) -> bool:
    """Whether there are samples with labels."""
    uri = task.options.verification.samples_uri
    if uri is None:
        return False
    archive = task.room.held / "given.npz"
    fetched = fetch(Fetch("samples", uri, _MOST_SAMPLE_BYTES), archive, task.deadline, task.progress)
    task.progress("fetched", what="samples", bytes=fetched.size_bytes)
    return split_labels(archive, task.room.samples, task.room.labels, _MOST_SAMPLE_BYTES)


def _find(task: Task) -> None:
    """Look whether the same was converted before, now that the source's digest is known."""
    sha256 = task.source_sha256()
    found = None if sha256 is None else task.destination().find(key_of(task.options, sha256.lower()))
    if found is not None:
        task.progress("found in the store", artifact=found.digest)
        task.room.leave_found(FoundArtifact(digest=found.digest, manifest=found.manifest))


def _convert(task: Task) -> None:
    room, fetched = task.room, _fetched(task)
    level = task.level()
    check_level(level, runs_code=fetched.runs_code, trusted=task.order.trust_source, pod=in_a_pod())
    if level != "full":
        task.progress("weaker isolation than usual", sandbox=level)
    room.prepare("convert")
    to_convert = SourceToConvert(
        room.source,
        fetched.size_bytes,
        fetched.format,
        task.options.source.inputs,
        room.samples if fetched.has_samples else None,
        level,
        trusted=task.order.trust_source,
    )
    notes = convert_source(to_convert, room, task.order.limits, task.deadline, task.progress)
    for note in notes:
        task.progress("note", text=note)
    room.leave_converted(ConvertedSource(notes=notes))


def _publish(task: Task) -> ConversionResult:
    """Believe nothing of what the stage before left: copies of it are examined by process B, and published."""
    found = task.room.found()
    if found is not None:
        return _result(task, found.manifest, ()).model_copy(update={"artifact": found.digest, "reused": True})
    fetched, level = _fetched(task), task.level()
    task.room.prepare("publish")
    notes = display(task.room.converted().notes)
    converted = collect_converted(task.room, fetched.size_bytes, task.room.samples if fetched.has_samples else None)
    manifest = _manifest(task, fetched, converted, _verify(task, fetched, converted, level), level)
    task.destination().publish(converted.model, manifest, key_of(task.options, fetched.sha256))
    task.progress("published", artifact=manifest.digest(), bytes=manifest.size_bytes())
    return _result(task, manifest, notes)


def _verify(task: Task, fetched: FetchedSource, converted: Converted, level: SandboxLevel) -> Report:
    return verify_model(
        converted,
        task.room.labels if fetched.has_labels else None,
        task.room,
        level=level,
        demand=task.options.verification,
        max_batch_size=task.options.max_batch_size,
        limits=task.order.limits,
        deadline=task.deadline,
        progress=task.progress,
    )


def _manifest(task: Task, fetched: FetchedSource, converted: Converted, report: Report, level: SandboxLevel) -> Manifest:
    model = ArtifactFile(name=MODEL_FILE, size_bytes=converted.model.stat().st_size, sha256=converted.model_sha256)
    return Manifest(
        format=fetched.format,
        files=(model,),
        source_sha256=fetched.sha256,
        source_bytes=fetched.size_bytes,
        tools=tools_of(fetched.format),
        inputs=report.inputs,
        outputs=report.outputs,
        batching=report.batching,
        verification=judge(report, task.options.verification, drawn=not fetched.has_samples),
        memory=report.memory,
        sandbox=level,
    )


def _result(task: Task, manifest: Manifest, notes: tuple[str, ...]) -> ConversionResult:
    tools = in_words(manifest.format, manifest.tools)
    return ConversionResult(
        artifact=manifest.digest(),
        size_bytes=manifest.size_bytes(),
        source_sha256=manifest.source_sha256,
        converted_with=f"{tools} ({'; '.join(notes)})" if notes else tools,
        verification=manifest.verification,
        memory_bytes=manifest.memory_for(task.options.max_batch_size),
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        batching=manifest.batching,
    )


def _fetched(task: Task) -> FetchedSource:
    fetched = task.room.fetched()
    if fetched is None:
        cause = f"Nothing was fetched into {task.room.top}."
        raise ConversionError(refusal("fetch", cause, "Run the stages in their order, over the same --work folder."))
    return fetched


_STAGES: Final[Mapping[ConversionStage, Callable[[Task], ConversionResult | None]]] = {
    "fetch": _fetch,
    "find": _find,
    "convert": _convert,
    "publish": _publish,
}
