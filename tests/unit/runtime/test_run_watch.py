"""The watch over runs, looking when the test says so: the times it is told are far ahead of the clock."""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from types import TracebackType

import numpy as np
import pytest

from forebay_runtime.domain.pace import UNPACED
from forebay_runtime.protocol.errors import RequestError, RunTimeoutError
from forebay_runtime.protocol.inference import Array
from forebay_runtime.service.instances import Batch, BatchResult, ThreadInstances
from forebay_runtime.service.run_watch import MemoryBound, RunWatch, WatchedModel

LONG_S = 1e6
"""Limits that nothing reaches but by the times that the tests tell."""
X = {"x": np.ones((1, 1), np.float32)}


class Held:
    """Each run lasts until the test ends it; it cannot be stopped."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.end = threading.Semaphore(0)

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        self.began.release()
        assert self.end.acquire(timeout=60)
        return [inputs["x"] for _ in output_names]

    def interrupt(self) -> None:
        """It does not listen."""


class LockThenHook:
    """A lock with something that happens just after it was released by one thread."""

    def __init__(self, thread: int, hook: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._thread = thread
        self._hook = hook

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()
        if threading.get_ident() == self._thread:
            self._hook()


def test_a_run_that_ends_just_as_it_is_given_up_is_given_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Held()
    watched = WatchedModel(model, "m", limit_s=LONG_S, grace_s=LONG_S)
    errors = list[RequestError]()

    def serve() -> None:
        # As the thread of an instance does.
        watched.on_given_up = errors.append
        watched.run(("y",), X)
        watched.on_given_up = None

    thread = threading.Thread(target=serve)

    def end_the_run() -> None:
        if watched.given_up:
            model.end.release()
            thread.join(60)

    monkeypatch.setattr(watched, "_lock", LockThenHook(threading.get_ident(), end_the_run))
    thread.start()
    assert model.began.acquire(timeout=60)
    now = time.monotonic()
    watched.look(now + 2 * LONG_S)
    watched.look(now + 4 * LONG_S)
    assert not thread.is_alive()
    assert (watched.given_up, len(errors)) == (True, 1)


class Threads:
    """The threads of a model whose runs the test ends, and a watch that looks when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.signals = list[int]()
        monkeypatch.setattr(os, "kill", lambda _pid, number: self.signals.append(number))
        self.watch = RunWatch(LONG_S, grace_s=LONG_S)
        self.models = list[Held]()
        self.refused = False
        self._now = time.monotonic()
        self._results: queue.SimpleQueue[BatchResult] = queue.SimpleQueue()
        self.name = f"model of test {id(self)}"
        self.instances = ThreadInstances(self._model, 1, UNPACED, self.name, watch=self.watch, limit_s=LONG_S)

    def _model(self) -> Held:
        if self.refused:
            raise RuntimeError("can't start new thread")
        self.models.append(Held())
        return self.models[-1]

    def begin(self) -> Held:
        """Begin a run; the model that runs."""
        self.instances.start(Batch([X], [1], ("y",)), self._results.put)
        model = self.models[-1]
        assert model.began.acquire(timeout=60)
        return model

    def give_up(self) -> None:
        """Let the watch see that all runs last longer than they may, and that they do not end when they are stopped."""
        for _ in range(2):
            self._now += 2 * LONG_S
            self.watch.look(self._now)

    def wait_for_threads(self, count: int) -> None:
        """Until the model has no more threads than these."""
        while len(mine := [thread for thread in threading.enumerate() if thread.name == self.name]) > count:
            mine[0].join(60)
            assert not mine[0].is_alive()

    def result(self) -> BatchResult:
        return self._results.get(timeout=60)

    def close(self) -> None:
        for model in self.models:
            model.end.release(1000)
        self.instances.stop()
        self.watch.stop()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Generator[Threads]:
    threads = Threads(monkeypatch)
    yield threads
    threads.close()


def test_a_run_that_is_given_up_is_answered_and_the_watch_goes_on_where_no_other_thread_can_be_had(threads: Threads) -> None:
    threads.begin()
    threads.refused = True
    threads.give_up()
    assert isinstance(threads.result().error, RunTimeoutError)
    # A server with a model that nobody runs is of no use: the next one loads what it holds.
    assert threads.signals == [signal.SIGTERM]


def test_runs_that_end_late_are_no_reason_for_the_server_to_end(threads: Threads) -> None:
    for _ in range(10):
        model = threads.begin()
        threads.give_up()
        assert isinstance(threads.result().error, RunTimeoutError)
        model.end.release()
        threads.wait_for_threads(1)
    assert threads.signals == []


def test_the_server_ends_once_eight_runs_go_on_at_once_that_were_given_up(threads: Threads) -> None:
    for count in range(1, 9):
        threads.begin()
        threads.give_up()
        assert isinstance(threads.result().error, RunTimeoutError)
        assert threads.signals == [signal.SIGTERM] * (count == 8)


class Deaf(Held):
    """Not even the attempt to stop it works."""

    def interrupt(self) -> None:
        raise OSError("no interruptions today")


def test_a_failure_of_the_look_at_one_run_keeps_no_other_from_being_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, deaf, other = RunWatch(LONG_S, grace_s=LONG_S), Deaf(), Held()
    runners = [threading.Thread(target=watch.watched(model, LONG_S, "m").run, args=((), X)) for model in (deaf, other)]
    stopped = threading.Event()
    monkeypatch.setattr(other, "interrupt", stopped.set)
    for runner, model in zip(runners, (deaf, other), strict=True):
        runner.start()
        assert model.began.acquire(timeout=60)
    watch.look(time.monotonic() + 2 * LONG_S)
    watch.stop()
    for runner, model in zip(runners, (deaf, other), strict=True):
        model.end.release()
        runner.join(60)
    assert stopped.is_set()


class Stops(Held):
    """Remembers that it was to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = threading.Event()

    def interrupt(self) -> None:
        self.stopped.set()


def test_no_second_run_is_stopped_for_its_memory_before_the_first_has_ended() -> None:
    taken, shrunk = [1], list[int]()
    watch = RunWatch(LONG_S, MemoryBound(10, lambda: taken[0], lambda: shrunk.append(taken[0])), grace_s=LONG_S)
    models = [Stops() for _ in range(3)]
    runners = [threading.Thread(target=watch.watched(model, LONG_S, "m").run, args=((), X)) for model in models]
    for runner, model in zip(runners, models, strict=True):
        runner.start()
        assert model.began.acquire(timeout=60)
    taken[0] = 11
    for _ in range(3):
        watch.look(time.monotonic())
    while_it_ends = [model.stopped.is_set() for model in models]
    models[0].end.release()
    runners[0].join(60)
    for _ in range(3):
        watch.look(time.monotonic())
    afterwards = [model.stopped.is_set() for model in models]
    watch.stop()
    for model in models:
        model.end.release()
    for runner in runners:
        runner.join(60)
    assert (while_it_ends, afterwards) == ([True, False, False], [True, True, False])
    assert shrunk
