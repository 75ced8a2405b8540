"""The whole of process B's work: check the model's form, measure its memory, run it, compare, and say what was found."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from forebay_convert.graphs import (
    inputs_of,
    is_batched,
    parse,
    refuse_external_data,
    refuse_unknown_operators,
    refuse_unserved_form,
    tensor_of,
)
from forebay_convert.reports import RefusalError, tell_phase
from forebay_convert.samples import arrange, read_array, read_arrays
from forebay_convert.tensors import Array, Tensor
from forebay_convert.verification.comparison import accuracy, has_no_number, is_constant
from forebay_convert.verification.memory import batch_sizes, estimate
from forebay_convert.verification.trial import Trial, attempt

_MEASURING_S = 15.0


def examine(
    *, model: Path, samples: Path, reference: Path, labels: Path | None, allowed_error: float, max_batch_size: int
) -> dict[str, Any]:
    """What the parent judges by (`verifying.Report`).

    Raises:
        RefusalError: the model is not in the served form, cannot be run, or cannot be compared.
    """
    content = model.read_bytes()
    checked = _checked(content)
    inputs = [tensor_of(value, "input") for value in inputs_of(checked)]
    outputs = [tensor_of(value, "output") for value in checked.graph.output]
    given = arrange(read_arrays(samples, "The samples"), inputs, batched=is_batched(checked))
    wanted = _recorded(reference)
    tell_phase("measuring")
    sizes = batch_sizes(max_batch_size) if given.batched else [1]
    memory, session = estimate(content, checked, given, sizes, _MEASURING_S)
    tell_phase("comparing")
    trial = attempt(session, given, wanted, allowed_error)
    return {
        "inputs": [_described(tensor) for tensor in inputs],
        "outputs": [_described(tensor) for tensor in outputs],
        "samples": given.count,
        **_findings(trial, outputs),
        **_accuracy(trial, labels),
        "memory": [{"batch_size": size, "bytes": count} for size, count in memory],
    }


def _checked(content: bytes) -> ModelProto:
    model = parse(content, "The converted model")
    refuse_external_data(model)
    refuse_unserved_form(model)
    refuse_unknown_operators(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's own class, and what the inference under it raises
        raise RefusalError(
            "verify", f"The converted model contradicts itself: {error}", "Report the source's format."
        ) from error
    return model


def _recorded(reference: Path) -> list[Array]:
    arrays = read_arrays(reference, "The outputs that the source reported")
    return [arrays[name] for name in sorted(arrays, key=lambda name: (len(name), name))]


def _findings(trial: Trial, outputs: list[Tensor]) -> dict[str, Any]:
    return {
        "max_relative_error": min(trial.comparison.max_relative_error, float(np.finfo(np.float64).max)),
        "beyond": trial.comparison.beyond,
        "agreement": trial.comparison.agreement,
        "deterministic": trial.deterministic,
        "no_number": [output.name for output, array in zip(outputs, trial.answers, strict=True) if has_no_number(array)],
        "constant": is_constant(trial.answers),
        "batch_sizes": trial.batch_sizes,
        "batching": trial.batching,
    }


def _accuracy(trial: Trial, path: Path | None) -> dict[str, Any]:
    if path is None:
        return {"labels": 0, "accuracy": None}
    labels = read_array(path, "The labels").reshape(-1)
    return {"labels": len(labels), "accuracy": accuracy(trial.answers, labels)}


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
