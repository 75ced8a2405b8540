"""Running ONNX models with onnxruntime, the way every sealed process does."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported, which latches it

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from forebay_convert.reports import RefusalError
from forebay_convert.samples import Samples
from forebay_convert.tensors import Array

VERSION: str = onnxruntime.__version__
_QUIET = 3


class Session:
    """One loaded model on one thread of the CPU."""

    def __init__(self, content: bytes, stage: str) -> None:
        """Load a model.

        Raises:
            RefusalError: onnxruntime cannot run it.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        try:
            self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes share no base but this
            raise RefusalError(
                stage,
                f"onnxruntime {VERSION} cannot load the model: {_first_line(error)}",
                "Export the model anew, for opset 22 or older.",
            ) from error
        self.outputs: list[str] = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> list[Any]:
        """The outputs of one call.

        Raises:
            RunError: the model cannot answer this.
        """
        try:
            outputs: list[Any] = self._session.run(None, dict(inputs))
        except Exception as error:
            raise RunError(_said(error)) from error
        return outputs

    def run_all(self, samples: Samples, size: int) -> list[Array]:
        """The outputs for all samples, in calls of `size`; along the first dimension as the samples are.

        Raises:
            RunError: the model cannot answer one of them, or an output has no row for each sample.
        """
        answers = [self.run(call) for call in samples.calls(size)]
        return [joined([answer[index] for answer in answers], samples) for index in range(len(self.outputs))]


class RunError(Exception):
    """A call that failed; the message is onnxruntime's, in one line."""


def joined(parts: list[Array], samples: Samples) -> Array:
    """One output of several calls as one array, a row a sample.

    Raises:
        RunError: the calls' outputs do not fit together.
    """
    try:
        whole = np.concatenate(parts) if samples.batched else np.stack(parts)
    except ValueError as error:
        raise RunError(f"outputs of several calls do not fit together: {error}") from error
    if len(whole) != samples.count:
        raise RunError(f"{samples.count} samples were answered by {len(whole)} rows")
    return whole


def _said(error: Exception) -> str:
    if "allocate memory" in str(error):
        return "it needs more memory than the conversion may use"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
