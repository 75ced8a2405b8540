"""Calls that wait for their message, looked at when the test says so."""

import threading
import time
from collections.abc import Generator, Iterator
from itertools import count
from typing import Any

import pytest

from forebay_runtime.server.grpc_messages import MessageWatch
from forebay_runtime.server.grpc_threads import CallThreads

THREADS = 32
PORTS = count(1024)


class Context:
    """grpcio's side of a call, for as much as the watch uses."""

    def __init__(self, address: str = "10.0.0.1") -> None:
        self.ended = False
        self._peer = f"ipv4:{address}:{next(PORTS)}"

    def cancel(self) -> None:
        self.ended = True

    def peer(self) -> str:
        return self._peer


class DeafContext(Context):
    def cancel(self) -> None:
        raise RuntimeError("it has ended already")


class Calls:
    """Calls whose messages come when the test ends."""

    def __init__(self) -> None:
        self.watch = MessageWatch()
        self.threads = CallThreads(THREADS, "inference")
        self.contexts = list[Context]()
        self.over = threading.Event()
        self._waiting = threading.Semaphore(0)

    def begin(self, context: Context) -> None:
        """Returns once the call waits for its message."""
        self.contexts.append(context)
        self.threads.submit(self.watch.after_message(lambda _message, _context: None, self.threads), self._message(), context)
        assert self._waiting.acquire(timeout=60)

    def ended_after(self, seconds: float) -> int:
        """How many calls the watch has ended by this time after the last began."""
        self.watch.look(time.monotonic() + seconds)
        return sum(context.ended for context in self.contexts)

    def _message(self) -> Iterator[Any]:
        self._waiting.release()
        assert self.over.wait(60)
        yield b""


@pytest.fixture
def calls() -> Generator[Calls]:
    calls = Calls()
    yield calls
    calls.over.set()
    calls.threads.shutdown()


def test_a_message_may_take_its_minute_as_long_as_threads_are_free(calls: Calls) -> None:
    for _ in range(THREADS - 2):
        calls.begin(Context())
    assert calls.ended_after(6.0) == 0
    assert calls.ended_after(61.0) == THREADS - 2


def test_a_message_has_five_seconds_where_hardly_a_thread_is_free(calls: Calls) -> None:
    for _ in range(THREADS - 1):
        calls.begin(Context())
    assert calls.ended_after(6.0) == THREADS - 1


def test_where_threads_are_short_as_many_as_are_wanted_end_at_once(calls: Calls) -> None:
    for _ in range(THREADS):
        calls.begin(Context())
    assert calls.ended_after(1.0) == 2
    assert [context.ended for context in calls.contexts[:3]] == [True, True, False]


def test_who_has_most_calls_without_a_message_loses_them_first(calls: Calls) -> None:
    calls.begin(Context("10.0.0.2"))
    for _ in range(THREADS - 1):
        calls.begin(Context("10.0.0.1"))
    assert calls.ended_after(1.0) == 2
    assert [context.ended for context in calls.contexts[:4]] == [False, True, True, False]


def test_a_call_that_cannot_be_ended_keeps_no_other_from_it(calls: Calls) -> None:
    calls.begin(DeafContext())
    calls.begin(Context())
    assert calls.ended_after(61.0) == 1
