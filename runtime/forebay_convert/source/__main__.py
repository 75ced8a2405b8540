"""Process A: `python -m forebay_convert.source POLICY TASK`, both JSON. Sealed before anything else is imported."""

import errno
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay_convert.reports import RefusalError, tell_phase, tell_refusal
from forebay_convert.sandbox.policy import SealPolicy
from forebay_convert.sandbox.seal import seal_or_exit

if TYPE_CHECKING:
    from forebay_convert.source.model import SourceModel
    from forebay_convert.tensors import Tensor

REFUSED = 3
"""Exit status after a refusal was told."""
_FEWER = "Give fewer samples of your own, one is enough: --samples, or verification.samples in a ModelDeployment."
_SMALLER = "Give a smaller model, or its parts one by one."


def main() -> int:
    policy, task = SealPolicy.from_json(sys.argv[1]), json.loads(sys.argv[2])
    # What of the command line and the environment is left is for the source to read: nothing.
    del sys.argv[1:]
    seal_or_exit(policy)
    try:
        _convert(task, policy)
    except RefusalError as refused:
        tell_refusal(refused)
        return REFUSED
    return 0


def _convert(task: dict[str, Any], policy: SealPolicy) -> None:
    """Record what the source answers first, then convert it: a converter may change it in place."""
    source = _open(task, policy)
    tell_phase("loaded")

    import numpy as np  # noqa: PLC0415 - after the seal

    from forebay_convert.samples import arrange, read_arrays, write_arrays  # noqa: PLC0415 - after the seal

    out, most = Path(task["out"]), policy.limits.file_bytes
    if task["samples"] is None:
        given = source.draw(np.random.default_rng(task["seed"]))
        with _of_bounded_size("Its samples", most, _FEWER):
            write_arrays(out / "samples.npz", given)
    else:
        given = read_arrays(Path(task["samples"]), "The samples")
    source.record(arrange(given, source.inputs, batched=source.batched))
    tell_phase("recorded")
    model = source.convert()
    answers = {str(index): _plain(array) for index, array in enumerate(source.reference())}
    with _of_bounded_size("The answers of the source to its samples", most, _FEWER):
        write_arrays(out / "reference.npz", answers)
    with _of_bounded_size("The ONNX model of the source", most, _SMALLER):
        (out / "model.onnx").write_bytes(model.SerializeToString())
    tell_phase("converted")


@contextmanager
def _of_bounded_size(what: str, most: int, remedy: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise RefusalError("convert", f"{what} take more than the {most >> 20} MiB that a file may have.", remedy) from error


def _open(task: dict[str, Any], policy: SealPolicy) -> "SourceModel":
    path = Path(task["source"])
    if task["format"] == "onnx":
        from forebay_convert.source.onnx_source import OnnxSource  # noqa: PLC0415 - after the seal

        return OnnxSource(path, _declared(task))
    from forebay_convert.source.attempts import Attempts  # noqa: PLC0415 - after the seal
    from forebay_convert.source.sklearn_loading import load_estimator  # noqa: PLC0415 - after the seal

    estimator = load_estimator(path, Attempts(policy.read, task["work"]), trusted=task["trusted"])
    from forebay_convert.source.sklearn_source import SklearnSource  # noqa: PLC0415 - slow, and not needed to refuse

    return SklearnSource(estimator, _declared(task))


def _declared(task: dict[str, Any]) -> "list[Tensor]":
    from forebay_convert.tensors import Tensor  # noqa: PLC0415 - after the seal

    return [Tensor(entry["name"], entry["datatype"], tuple(entry["shape"])) for entry in task["inputs"]]


def _plain(array: Any) -> Any:
    """Without Python objects, which process B would refuse."""
    return array.astype(str) if array.dtype == object else array


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Threads and exit handlers of the source do not get a say in when this process ends.
    os._exit(status)
