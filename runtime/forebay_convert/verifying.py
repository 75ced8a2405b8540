"""Process B, seen from the parent: runs it, and judges by its report."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from forebay_convert.children import check_ended
from forebay_convert.converting import Converted
from forebay_convert.failures import ConversionError, refusal
from forebay_convert.progress import Deadline, Progress
from forebay_convert.reports import Hearing
from forebay_convert.rooms import Room
from forebay_convert.sandbox.supervisor import ChildOrder, run_child
from forebay_convert.sandbox.watchdog import Budget
from forebay_schema.conversion import ConversionLimits, VerificationDemand
from forebay_schema.manifest import MemoryEstimate, SandboxLevel, Verification
from forebay_schema.tensors import TensorSpec

_NO_FILES = 1 << 20
_REPORT_BYTES = 1 << 20
_OWN_EXPORT = "Export the model to ONNX yourself and give that as the source, or loosen verification if this is good enough."


class Report(BaseModel):
    """Process B's findings; anything else in it, or anything missing, and it is not believed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    samples: int
    max_relative_error: float
    beyond: int
    agreement: float
    deterministic: bool
    no_number: tuple[str, ...]
    constant: bool
    batch_sizes: tuple[int, ...]
    batching: bool
    labels: int
    accuracy: float | None
    memory: tuple[MemoryEstimate, ...]


def verify_model(
    converted: Converted,
    labels: Path | None,
    room: Room,
    *,
    level: SandboxLevel,
    demand: VerificationDemand,
    max_batch_size: int,
    limits: ConversionLimits,
    deadline: Deadline,
    progress: Progress,
) -> Report:
    """Run process B on what process A left.

    Raises:
        ConversionError: it gave up, was stopped, or its report is no report.
    """
    hearing = Hearing(lambda phase: progress("verifying", phase=phase))
    order = ChildOrder(
        module="forebay_convert.verification",
        task={
            "model": str(converted.model),
            "reference": str(converted.reference),
            "samples": str(converted.samples),
            "labels": None if labels is None else str(labels),
            "max_relative_error": demand.max_relative_error,
            "max_batch_size": max_batch_size,
        },
        level=level,
        work=room.scratch,
        read=(room.given, room.held, room.sealed),
        write=(),
        file_bytes=_NO_FILES,
        budget=Budget(max(1.0, deadline.remaining()), limits.memory_bytes, disk_bytes=_NO_FILES, tail_bytes=_REPORT_BYTES),
    )
    ended = run_child(order, hearing.hear)
    check_ended(ended, hearing, "The converted model", "verify")
    return read_report(ended.output)


def read_report(output: str) -> Report:
    """The report in the last line that process B printed.

    Raises:
        ConversionError: there is none.
    """
    try:
        content = json.loads((output.strip().splitlines() or [""])[-1])
        return Report.model_validate(content["report"])
    except (ValueError, RecursionError, KeyError, TypeError, ValidationError) as error:
        raise ConversionError(
            refusal("verify", "The process that verified the model left no report.", "Report it with the log.")
        ) from error


def judge(report: Report, demand: VerificationDemand, *, drawn: bool) -> Verification:
    """Accept the model, or say which promise it breaks.

    Of the samples, `min_agreement` must name the same class, and as many must be within `max_relative_error`.

    Raises:
        ConversionError: it is refused.
    """
    _refuse_useless(report, drawn=drawn)
    _refuse_disagreement(report, demand, drawn=drawn)
    _refuse_inaccuracy(report, demand)
    return Verification(
        samples=report.samples,
        samples_from="drawn" if drawn else "given",
        max_relative_error=report.max_relative_error,
        beyond=report.beyond,
        agreement=report.agreement,
        accuracy=report.accuracy,
        deterministic=report.deterministic,
        batch_sizes=report.batch_sizes,
    )


def _refuse_useless(report: Report, *, drawn: bool) -> None:
    if report.no_number:
        raise _refused(
            f"The converted model answers NaN in {', '.join(report.no_number)}.",
            "Give samples that the model can answer (verification.samples)." if drawn else "Check the samples and the model.",
        )
    if report.constant and report.samples > 1:
        raise _refused(
            f"The converted model gives the same answer to all {report.samples} samples.",
            "Check the model, and give real samples (verification.samples)." if drawn else "Check the model and the samples.",
        )
    if not report.deterministic:
        raise _refused(
            "The converted model gives different answers to the same samples.",
            "Export it for inference: no random operators, no dropout in training mode.",
        )


def _refuse_disagreement(report: Report, demand: VerificationDemand, *, drawn: bool) -> None:
    seen = f"{report.samples} {'drawn' if drawn else 'given'} samples"
    if report.agreement < demand.min_agreement:
        raise _refused(
            f"The converted model does not agree with its source: on {report.agreement:.1%} of {seen} both give the same "
            f"answer, {demand.min_agreement:.1%} are wanted.",
            _OWN_EXPORT,
        )
    # Trees and neighbours jump at thresholds and ties: a few samples there say nothing about the conversion.
    if report.beyond > (1 - demand.min_agreement) * report.samples:
        raise _refused(
            f"The converted model does not agree with its source: {report.beyond} of {seen} differ by more than the relative "
            f"error of {demand.max_relative_error:g} allowed, the worst by {report.max_relative_error:.2g}.",
            _OWN_EXPORT,
        )


def _refuse_inaccuracy(report: Report, demand: VerificationDemand) -> None:
    if demand.min_accuracy is None and not report.labels:
        return
    if demand.min_accuracy is not None and not report.labels:
        raise _refused("An accuracy is asked for, but the samples hold no labels.", "Add an array named labels.")
    if report.accuracy is None and demand.min_accuracy is not None:
        raise _refused(
            f"An accuracy is asked for, but the {report.labels} labels do not fit the model's {report.samples} answers.",
            "Give one class for each sample in labels, or leave minAccuracy out.",
        )
    if demand.min_accuracy is not None and report.accuracy is not None and report.accuracy < demand.min_accuracy:
        raise _refused(
            f"The converted model names the labelled class on {report.accuracy:.1%} of {report.samples} samples, "
            f"{demand.min_accuracy:.1%} are wanted.",
            "Check the labels and the model, or lower minAccuracy.",
        )


def _refused(cause: str, remedy: str) -> ConversionError:
    return ConversionError(refusal("verify", cause, remedy))
