"""Instances of a loaded version: threads that run batches one after the other."""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np

from forebay_runtime.domain.pace import UNPACED, Pace
from forebay_runtime.protocol.errors import InternalError, RequestError
from forebay_runtime.protocol.inference import Array
from forebay_runtime.service.run_watch import RunWatch, StoppableModel, WatchedModel
from forebay_runtime.service.statistics import BatchTimes
from forebay_schema.logs import Logger

_log = Logger(__name__)
_TOO_LONG_INLINE_NS: Final = 100_000_000
_MOST_GIVEN_UP: Final = 8
"""Runs of one model that go on at once although nobody waits for them."""


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
    except RequestError as failure:
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


class InlineWatch:
    """Interrupts a model that keeps the event loop from going on: how long a model takes may depend on what it is given."""

    def __init__(self, limit_s: float = 1.0) -> None:
        self._limit_s = limit_s
        self._running: tuple[StoppableModel, float] | None = None
        self._interrupted: tuple[StoppableModel, float] | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._serve, name="inline-watch", daemon=True).start()

    def execute(self, model: StoppableModel, batch: Batch) -> tuple[BatchResult, bool]:
        """Run a batch in this thread, the only one that uses this object; whether it was interrupted."""
        running = self._running = (model, time.monotonic())
        try:
            result = execute(model, batch, UNPACED)
        finally:
            self._running = None
        return result, self._interrupted is running

    def stop(self) -> None:
        """End its thread."""
        self._stopped.set()

    def _serve(self) -> None:
        while not self._stopped.wait(self._limit_s / 2):
            running = self._running
            if running is not None and time.monotonic() - running[1] > self._limit_s:
                self._interrupted = running
                running[0].interrupt()


class InlineInstance:
    """Runs batches at once in the caller's thread: for models that take less time than a hop to another thread.

    Once one has taken long after all, the model gets the thread that `otherwise` makes; what was interrupted runs there.
    """

    count = 1

    def __init__(
        self,
        model: StoppableModel,
        watch: InlineWatch,
        runs: RunWatch,
        otherwise: "Callable[[], ThreadInstances]",
        *,
        name: str,
        limit_s: float,
    ) -> None:
        """A run may take `limit_s`, should it not be interrupted before."""
        self._model = runs.watched(model, limit_s, name)
        self._watch = watch
        self._runs = runs
        self._otherwise = otherwise
        self._thread: ThreadInstances | None = None

    @property
    def inline(self) -> bool:
        return self._thread is None

    def start(self, batch: Batch, finished: Finished) -> None:
        if self._thread is not None:
            self._thread.start(batch, finished)
            return
        # The time that this thread had a core: the machine may have been busy with something else.
        began_ns = time.thread_time_ns()
        result, interrupted = self._watch.execute(self._model, batch)
        if interrupted or time.thread_time_ns() - began_ns > _TOO_LONG_INLINE_NS:
            self._thread = self._otherwise()
        if interrupted and self._thread is not None and result.error is not None:
            self._thread.start(batch, finished)
        else:
            # It may also have come to its end just as it was interrupted.
            finished(result)

    def stop(self) -> None:
        self._runs.remove(self._model)
        if self._thread is not None:
            self._thread.stop()


class Answered:
    """Takes the first result of a batch and no other."""

    def __init__(self, finished: Finished) -> None:
        self._finished: Finished | None = finished
        self._lock = threading.Lock()

    def __call__(self, result: BatchResult) -> None:
        with self._lock:
            finished, self._finished = self._finished, None
        if finished is not None:
            finished(result)


class ThreadInstances:
    """Threads that run a model side by side, each for no longer than the watch allows.

    A thread whose run cannot be stopped is given up: its batch is answered, another thread takes its place, and it ends
    whenever the run does. With too many such runs at once, or where no other thread can be had, the server is told to
    end: what it holds is loaded by the next.
    """

    inline = False

    def __init__(
        self, twins: Callable[[], StoppableModel], count: int, pace: Pace, name: str, *, watch: RunWatch, limit_s: float
    ) -> None:
        """`twins` gives the model for one thread; a run may take `limit_s`."""
        self._work: queue.SimpleQueue[tuple[Batch, Finished] | None] = queue.SimpleQueue()
        self._twins = twins
        self._pace = pace
        self._name = name
        self._watch = watch
        self._limit_s = limit_s
        self._counting = threading.Lock()
        self._given_up = 0
        """Of the runs that were given up, those that have not ended since."""
        self.count = count
        for _ in range(count):
            self._begin()

    def start(self, batch: Batch, finished: Finished) -> None:
        """Hand a batch to a free thread; `finished` is called there."""
        self._work.put((batch, finished))

    def stop(self) -> None:
        """Let the threads end once they have done what was handed to them."""
        for _ in range(self.count):
            self._work.put(None)

    def _begin(self) -> None:
        model = self._watch.watched(self._twins(), self._limit_s, self._name)
        threading.Thread(target=self._serve, args=(model,), name=self._name, daemon=True).start()

    def _serve(self, model: WatchedModel) -> None:
        while not model.given_up and (work := self._work.get()) is not None:
            batch, answered = work[0], Answered(work[1])
            began_ns = time.monotonic_ns()
            model.on_given_up = partial(self._give_up, answered, began_ns)
            answered(execute(model, batch, self._pace))
            # Nothing of a request may live on while this thread waits for the next.
            model.on_given_up = None
            del work, batch, answered
        self._watch.remove(model)
        if model.given_up:
            self._count_given_up(-1)

    def _count_given_up(self, change: int) -> int:
        with self._counting:
            self._given_up += change
            return self._given_up

    def _give_up(self, answered: Answered, began_ns: int, error: RequestError) -> None:
        given_up = self._count_given_up(1)
        _log.error("a run does not end although it was stopped", model=self._name, threads_given_up=given_up)
        took_ns = time.monotonic_ns() - began_ns
        # First: whether there is another thread or not, this request has waited long enough.
        answered(BatchResult([], BatchTimes(0, took_ns, 0, took_ns), error))
        try:
            self._begin()
        except Exception as failure:
            _end_server(f"a model is without a thread: {failure}", self._name)
        if given_up == _MOST_GIVEN_UP:
            _end_server("too many runs do not end", self._name)


def _end_server(reason: str, model: str) -> None:
    _log.error("this server ends, to be started anew", model=model, reason=reason)
    os.kill(os.getpid(), signal.SIGTERM)
