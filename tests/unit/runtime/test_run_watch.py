"""The watch over runs, looking when the test says so: the times it is told are far ahead of the clock."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import numpy as np
import pytest

from forebay_runtime.protocol.errors import RequestError
from forebay_runtime.protocol.inference import Array
from forebay_runtime.service.run_watch import WatchedModel

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

    def shrink(self) -> None:
        """Nothing to give."""


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
