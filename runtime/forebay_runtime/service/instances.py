"""Instances of a loaded version: threads that run batches one after the other."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from forebay_runtime.domain.pace import UNPACED, Pace
from forebay_runtime.protocol.errors import InternalError, RequestError
from forebay_runtime.protocol.inference import Array
from forebay_runtime.service.statistics import BatchTimes


class Model(Protocol):
    """What an instance runs."""

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs of the requests that run together; `rows` of each, in the same order."""

    inputs: Sequence[Mapping[str, Array]]
    rows: Sequence[int]
    output_names: tuple[str, ...]

    @property
    def total_rows(self) -> int:
        return sum(self.rows)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The outputs of each request of a batch, or what went wrong with all of them."""

    outputs: Sequence[Mapping[str, Array]]
    times: BatchTimes
    error: RequestError | None = None


def execute(model: Model, batch: Batch, pace: Pace) -> BatchResult:
    """Run a batch in this thread, for as long as the device's pace says."""
    start = joined = ran = time.monotonic_ns()
    outputs: Sequence[Mapping[str, Array]] = []
    error: RequestError | None = None
    try:
        inputs = _joined(batch)
        joined = ran = time.monotonic_ns()
        results = model.run(batch.output_names, inputs)
        ran = time.monotonic_ns()
        outputs = _split(batch, results)
    except InternalError as failure:
        error = failure
    except Exception as failure:
        # Whatever it is: the requests of this batch are answered, and the instance goes on with the next.
        error = InternalError(str(failure))
    split = time.monotonic_ns()
    if error is not None:
        ran = split
    wait_s = pace.remaining(batch.total_rows, (split - start) / 1e9)
    if wait_s:
        time.sleep(wait_s)
    # What the simulated device takes longer counts as its inference.
    paced = time.monotonic_ns() - split if wait_s else 0
    times = BatchTimes(joined - start, ran - joined + paced, split - ran, split + paced - start)
    return BatchResult(outputs, times, error)


def _joined(batch: Batch) -> Mapping[str, Array]:
    if len(batch.inputs) == 1:
        return batch.inputs[0]
    return {name: np.concatenate([inputs[name] for inputs in batch.inputs]) for name in batch.inputs[0]}


def _split(batch: Batch, results: Sequence[Array]) -> Sequence[Mapping[str, Array]]:
    named = dict(zip(batch.output_names, results, strict=True))
    if len(batch.inputs) == 1:
        return [named]
    total = batch.total_rows
    for name, array in named.items():
        if array.ndim == 0 or array.shape[0] != total:
            raise InternalError(
                f"output '{name}' has shape {list(array.shape)} for a batch of {total} rows: the model mixes the rows of"
                " its batches; set max_batch_size to 0"
            )
    parts: list[Mapping[str, Array]] = []
    start = 0
    for rows in batch.rows:
        parts.append({name: array[start : start + rows] for name, array in named.items()})
        start += rows
    return parts


Finished = Callable[[BatchResult], None]


class Instances(Protocol):
    """What runs batches, `count` of them at once; `finished` is called for each, in whatever thread."""

    @property
    def count(self) -> int: ...
    @property
    def inline(self) -> bool:
        """Whether `start` returns only when the batch is finished."""
        ...

    def start(self, batch: Batch, finished: Finished) -> None: ...
    def stop(self) -> None: ...


class InlineInstance:
    """Runs batches at once in the caller's thread: for models that take less time than a hop to another thread."""

    count = 1
    inline = True

    def __init__(self, model: Model) -> None:
        self._model = model

    def start(self, batch: Batch, finished: Finished) -> None:
        finished(execute(self._model, batch, UNPACED))

    def stop(self) -> None:
        """Nothing to end."""


class ThreadInstances:
    """Threads that share one model."""

    inline = False

    def __init__(self, model: Model, count: int, pace: Pace, name: str) -> None:
        self._work: queue.SimpleQueue[tuple[Batch, Finished] | None] = queue.SimpleQueue()
        self._model = model
        self._pace = pace
        self.count = count
        for index in range(count):
            threading.Thread(target=self._serve, name=f"{name}-{index}", daemon=True).start()

    def start(self, batch: Batch, finished: Finished) -> None:
        """Hand a batch to a free thread; `finished` is called there."""
        self._work.put((batch, finished))

    def stop(self) -> None:
        """Let the threads end once they have done what was handed to them."""
        for _ in range(self.count):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            batch, finished = work
            finished(execute(self._model, batch, self._pace))
            # Nothing of a request may live on while this thread waits for the next.
            del work, batch, finished
