"""The arguments of `forebay-convert`, and the order that they make."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from forebay_schema.conversion import (
    ConversionLimits,
    ConversionOptions,
    ConversionOrder,
    ConversionSource,
    Format,
    VerificationDemand,
)
from forebay_schema.conversion_stages import ConversionStage
from forebay_schema.documents import DocumentError
from forebay_schema.tensors import DataType, TensorSpec

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class UsageError(Exception):
    """The arguments make no order; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What was asked for. `folder` is set where a person converts one file for themselves, `stage` where one stage is run."""

    order: ConversionOrder
    folder: Path | None
    result: Path | None
    work: Path | None
    stage: ConversionStage | None = None


def parse(arguments: list[str]) -> Invocation:
    """Read the arguments.

    Raises:
        UsageError: they make no order.
        SystemExit: argparse found them wrong, or was asked for help; it printed why.
    """
    given = _parser().parse_args(arguments)
    if given.order is not None:
        stage = _stage(given.source)
        if stage is not None and given.work is None:
            raise UsageError("say which folder the stages of this conversion share: --work DIR")
        return Invocation(_read_order(given.order), None, given.result, given.work, stage)
    if given.source is None:
        raise UsageError("give either --order FILE, or a SOURCE and -o DIR")
    if given.output is None:
        raise UsageError("say where the artifact goes: -o DIR")
    return Invocation(_order_of(given), given.output, given.result, given.work)


def _stage(name: str | None) -> ConversionStage | None:
    """With an order, a stage may stand where a source would."""
    found: ConversionStage | None = next((each for each in get_args(ConversionStage) if each == name), None)
    if name is not None and found is None:
        raise UsageError(f"give either --order FILE, or a SOURCE ({name}) and -o DIR")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forebay-convert",
        description="Convert a model to ONNX in a sandbox, verify it against its source, and publish it.",
        epilog="With --order, SOURCE may be one of the stages fetch, find, convert and publish, over the same --work folder.",
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="path, file, http(s), s3 or data URI of the model")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for model.onnx and manifest.json")
    parser.add_argument("--order", type=Path, metavar="FILE", help="carry out an order of the controller's instead")
    parser.add_argument("--result", type=Path, metavar="FILE", help="also write the result there, as one JSON document")
    parser.add_argument(
        "--work", type=_folder, metavar="DIR", help="where temporary files go; of a single stage, what the stages share"
    )
    _add_source_options(parser)
    _add_verification_options(parser)
    return parser


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the source")
    group.add_argument("--format", choices=get_args(Format), help="only where its content does not say")
    group.add_argument("--sha256", help="digest that the source must have")
    group.add_argument(
        "--input",
        action="append",
        default=[],
        type=_tensor,
        metavar="NAME:DTYPE:SHAPE",
        help="an input, where the format does not say: image:FP32:-1,64",
    )
    group.add_argument("--memory", type=_bytes, default=ConversionLimits().memory_bytes, metavar="2Gi")
    group.add_argument("--timeout", type=_duration, default=ConversionLimits().seconds, metavar="600s")
    group.add_argument("--trust-source", action="store_true", help="convert also where this machine cannot isolate it")


def _add_verification_options(parser: argparse.ArgumentParser) -> None:
    demand, group = VerificationDemand(), parser.add_argument_group("verification")
    group.add_argument("--samples", metavar="FILE.npz", help="one array an input, and optionally labels")
    group.add_argument("--max-relative-error", type=float, default=demand.max_relative_error)
    group.add_argument("--min-agreement", type=float, default=demand.min_agreement)
    group.add_argument("--min-accuracy", type=float, help="needs labels among the samples")
    group.add_argument("--max-batch-size", type=int, default=32, help="memory is estimated up to this")


def _read_order(path: Path) -> ConversionOrder:
    try:
        return ConversionOrder.from_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"the order {path} cannot be read: {error.strerror}") from error
    except DocumentError as error:
        raise UsageError(f"the order {path} cannot be read: {error}") from error


def _order_of(given: argparse.Namespace) -> ConversionOrder:
    options = ConversionOptions(
        source=ConversionSource(uri=given.source, sha256=given.sha256, format=given.format, inputs=tuple(given.input)),
        verification=VerificationDemand(
            samples_uri=given.samples,
            max_relative_error=given.max_relative_error,
            min_agreement=given.min_agreement,
            min_accuracy=given.min_accuracy,
        ),
        max_batch_size=given.max_batch_size,
    )
    return ConversionOrder(
        namespace="default",
        store=str(given.output),
        options=options,
        limits=ConversionLimits(memory_bytes=given.memory, seconds=given.timeout),
        trust_source=given.trust_source,
    )


def _folder(text: str) -> Path:
    """Absolute: the sealed processes, which are told of it, have another current folder."""
    return Path(text).absolute()


def _tensor(text: str) -> TensorSpec:
    name, _, rest = text.partition(":")
    datatype, _, sizes = rest.partition(":")
    if not name or datatype not in get_args(DataType) or not re.fullmatch(r"-?\d+(,-?\d+)*", sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:DTYPE:SHAPE, for example image:FP32:-1,64")
    return TensorSpec.model_validate(
        {"name": name, "datatype": datatype, "shape": tuple(int(size) for size in sizes.split(","))}
    )


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(\w*)", text)
    if match is None or match[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size, for example 512Mi or 2Gi")
    return int(float(match[1]) * _UNITS[match[2]])


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(\w*)", text)
    if match is None or match[2] not in _SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, for example 90s or 10m")
    return float(match[1]) * _SECONDS[match[2]]
