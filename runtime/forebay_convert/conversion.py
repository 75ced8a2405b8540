"""The whole of one conversion: fetch, convert in process A, verify in process B, publish."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forebay_convert.children import Room
from forebay_convert.converting import Converted, SourceToConvert, convert_source
from forebay_convert.failures import ConversionError
from forebay_convert.fetching import Fetch, Fetched, fetch
from forebay_convert.given_samples import split_labels
from forebay_convert.progress import Deadline, Progress
from forebay_convert.publishing import Destination
from forebay_convert.sandbox.levels import available_level, check_level, in_a_pod
from forebay_convert.source_formats import SourceFormat, infer_format
from forebay_convert.verifying import Report, judge, verify_model
from forebay_convert.versions import converter_version, in_words, tools_of
from forebay_convert.workplace import own_folder
from forebay_schema.conversion import ConversionFailure, ConversionOptions, ConversionOrder, ConversionResult, Stage
from forebay_schema.manifest import MODEL_FILE, ArtifactFile, Manifest, SandboxLevel
from forebay_schema.store import conversion_key

_MOST_SAMPLE_BYTES = 1 << 30
_FOLDER = "forebay-convert-"


@dataclass(frozen=True, slots=True)
class Samples:
    """Given samples: the inputs, which the source sees, and the labels, which it does not."""

    inputs: Path | None = None
    labels: Path | None = None


def convert(
    order: ConversionOrder,
    destination: Callable[[], Destination],
    work: Path,
    progress: Progress,
    level: Callable[[], SandboxLevel] = available_level,
) -> ConversionResult:
    """Carry out an order; never raises for what sources, stores and networks do: the result says it.

    `work` is where the conversion makes a folder of its own.
    """
    started = time.monotonic()
    conversion = Conversion(order, progress, level)
    try:
        with own_folder(work, _FOLDER) as top:
            result = conversion.run(destination(), Room.within(top))
    except ConversionError as error:
        result = ConversionResult(source_sha256=conversion.source_sha256, failure=error.failure)
    except Exception as error:  # a fault of ours must reach the controller as a result too
        progress("unexpected error", error=repr(error))
        result = ConversionResult(source_sha256=conversion.source_sha256, failure=_fault(conversion.stage, error))
    return result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})


def key_of(options: ConversionOptions, source_sha256: str) -> str:
    """The same bytes under another address are the same conversion, so the address is no part of it."""
    content = options.model_dump(mode="json", exclude={"source": {"uri", "sha256"}})
    return conversion_key(source_sha256, content, converter_version())


class Conversion:
    """One order on its way; `stage` and `source_sha256` say how far it came, for the case that it ends early."""

    def __init__(self, order: ConversionOrder, progress: Progress, level: Callable[[], SandboxLevel]) -> None:
        self.stage: Stage = "fetch"
        self.source_sha256 = order.options.source.sha256
        self._order, self._options = order, order.options
        self._progress = progress
        self._level = level
        self._deadline = Deadline(order.limits.seconds)

    def run(self, destination: Destination, room: Room) -> ConversionResult:
        """All stages in turn; what an earlier conversion made is found instead.

        Raises:
            ConversionError: a stage failed.
        """
        if self.source_sha256 is not None and (found := self._find(destination, self.source_sha256)) is not None:
            return found
        source = self._fetch_source(room)
        if self._options.source.sha256 is None and (found := self._find(destination, source.sha256)) is not None:
            return found
        samples = self._fetch_samples(room)
        self.stage = "load"
        source_format = infer_format(source.path, self._options.source.uri, self._options.source.format)
        level = self._checked_level(source_format)
        converted = self._convert(source, source_format, samples, level, room)
        self.stage = "verify"
        report = self._verify(converted, samples, level, room)
        self.stage = "publish"
        manifest = self._manifest(source, source_format, converted, report, level, drawn=samples.inputs is None)
        destination.publish(converted.model, manifest, key_of(self._options, source.sha256))
        self._progress("published", artifact=manifest.digest(), bytes=manifest.size_bytes())
        return self._result(manifest, converted.notes)

    def _find(self, destination: Destination, source_sha256: str) -> ConversionResult | None:
        manifest = destination.find(key_of(self._options, source_sha256.lower()))
        if manifest is None:
            return None
        self._progress("found in the store", artifact=manifest.digest())
        return self._result(manifest, ()).model_copy(update={"reused": True})

    def _fetch_source(self, room: Room) -> Fetched:
        source = self._options.source
        wanted = Fetch("source", source.uri, self._order.limits.source_bytes, source.sha256)
        fetched = fetch(wanted, room.given / "source", self._deadline, self._progress)
        self.source_sha256 = fetched.sha256
        self._progress("fetched", what="source", bytes=fetched.size_bytes, sha256=fetched.sha256)
        return fetched

    def _fetch_samples(self, room: Room) -> Samples:
        uri = self._options.verification.samples_uri
        if uri is None:
            return Samples()
        archive = room.sealed / "given.npz"
        fetched = fetch(Fetch("samples", uri, _MOST_SAMPLE_BYTES), archive, self._deadline, self._progress)
        self._progress("fetched", what="samples", bytes=fetched.size_bytes)
        inputs, labels = room.given / "samples.npz", room.sealed / "labels.npy"
        has_labels = split_labels(archive, inputs, labels, _MOST_SAMPLE_BYTES)
        return Samples(inputs, labels if has_labels else None)

    def _checked_level(self, source_format: SourceFormat) -> SandboxLevel:
        level = self._level()
        check_level(level, runs_code=source_format.runs_code, trusted=self._order.trust_source, pod=in_a_pod())
        if level != "full":
            self._progress("weaker isolation than usual", sandbox=level)
        return level

    def _convert(
        self, source: Fetched, source_format: SourceFormat, samples: Samples, level: SandboxLevel, room: Room
    ) -> Converted:
        to_convert = SourceToConvert(
            source.path,
            source.size_bytes,
            source_format.name,
            self._options.source.inputs,
            samples.inputs,
            level,
            trusted=self._order.trust_source,
        )
        converted = convert_source(to_convert, room, self._order.limits, self._deadline, self._progress)
        for note in converted.notes:
            self._progress("note", text=note)
        return converted

    def _verify(self, converted: Converted, samples: Samples, level: SandboxLevel, room: Room) -> Report:
        return verify_model(
            converted,
            samples.labels,
            room,
            level=level,
            demand=self._options.verification,
            max_batch_size=self._options.max_batch_size,
            limits=self._order.limits,
            deadline=self._deadline,
            progress=self._progress,
        )

    def _manifest(
        self,
        source: Fetched,
        source_format: SourceFormat,
        converted: Converted,
        report: Report,
        level: SandboxLevel,
        *,
        drawn: bool,
    ) -> Manifest:
        model = ArtifactFile(name=MODEL_FILE, size_bytes=converted.model.stat().st_size, sha256=converted.model_sha256)
        return Manifest(
            format=source_format.name,
            files=(model,),
            source_sha256=source.sha256,
            source_bytes=source.size_bytes,
            tools=tools_of(source_format.name),
            inputs=report.inputs,
            outputs=report.outputs,
            batching=report.batching,
            verification=judge(report, self._options.verification, drawn=drawn),
            memory=report.memory,
            sandbox=level,
        )

    def _result(self, manifest: Manifest, notes: tuple[str, ...]) -> ConversionResult:
        tools = in_words(manifest.format, manifest.tools)
        return ConversionResult(
            artifact=manifest.digest(),
            size_bytes=manifest.size_bytes(),
            source_sha256=manifest.source_sha256,
            converted_with=f"{tools} ({'; '.join(notes)})" if notes else tools,
            verification=manifest.verification,
            memory_bytes=manifest.memory_for(self._options.max_batch_size),
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            batching=manifest.batching,
        )


def _fault(stage: Stage, error: Exception) -> ConversionFailure:
    return ConversionFailure(
        stage=stage,
        cause=f"The conversion stopped at an error of its own: {type(error).__name__}: {error}",
        remedy="Convert again; if it stays so, report it together with the log.",
        retryable=True,
    )
