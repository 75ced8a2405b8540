"""The result of a conversion for the person who asked for it."""

from pathlib import Path

from forebay_schema.conversion import ConversionFailure, ConversionResult
from forebay_schema.manifest import Verification
from forebay_schema.tensors import TensorSpec

_MIB = 1 << 20


def in_words(result: ConversionResult, folder: Path) -> str:
    """A few lines: what was made, how it compares with its source, what it takes and gives."""
    lines = [
        f"Converted with {result.converted_with} in {result.seconds:.1f} s",
        *([_verified(result.verification)] if result.verification is not None else []),
        f"  inputs   {_tensors(result.inputs)}",
        f"  outputs  {_tensors(result.outputs)}",
        f"  batches  {'of any size' if result.batching else 'fixed: serve it with maxBatchSize 0'}",
        f"  memory   about {max(1, result.memory_bytes // _MIB)} MiB at the largest batch",
        f"  written  {folder / 'model.onnx'} ({_size(result.size_bytes)}) and manifest.json",
    ]
    return "\n".join(lines)


def failure_in_words(failure: ConversionFailure) -> str:
    return f"Not converted ({failure.stage}): {failure.cause}\n{failure.remedy}"


def _verified(verification: Verification) -> str:
    where = "drawn within its input ranges" if verification.samples_from == "drawn" else "given"
    text = (
        f"Agrees with the outputs its source reported on {verification.samples} samples ({where}): "
        f"max relative error {verification.max_relative_error:.2g}, same answer on {verification.agreement:.1%}"
    )
    if verification.beyond:
        text += f" (on {verification.beyond} samples more than allowed: near a tie or a threshold it jumps)"
    if verification.accuracy is not None:
        text += f"; accuracy {verification.accuracy:.1%} against labels that the source never saw"
    return text


def _tensors(tensors: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{tensor.name} {tensor.datatype} {list(tensor.shape)}" for tensor in tensors)


def _size(count: int) -> str:
    return f"{count / _MIB:.1f} MiB" if count >= _MIB else f"{count / 1024:.1f} KiB"
