"""gRPC's threads and the event loop, without a network: what happens when clients leave."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from forebay_runtime.protocol.triton_messages import service
from forebay_runtime.server.grpc_inference import GrpcInference
from forebay_runtime.server.large_requests import LARGE, LargeRequests
from forebay_runtime.service.data_plane import DataPlane
from forebay_runtime.service.model_store import ModelStore
from forebay_runtime.service.request_memory import RequestMemory

MANY = 1100
"""More requests than a stream reads ahead."""


class Call:
    """grpcio's side of a call, for as much as the handlers use."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self._callbacks.append(callback)
        return True

    def end(self) -> None:
        for callback in self._callbacks:
            callback()


def an_inference(large: LargeRequests | None = None, memory: RequestMemory | None = None) -> GrpcInference:
    """Over an empty store."""
    data_plane = DataPlane(ModelStore(), strict_readiness=True)
    return GrpcInference(data_plane, asyncio.get_running_loop(), memory or RequestMemory(1 << 24), large or LargeRequests())


async def test_a_client_that_leaves_a_long_stream_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    call = Call()
    answers = an_inference().stream_infer(iter([b""] * MANY), call)
    await asyncio.to_thread(next, answers)
    readers = [thread for thread in set(threading.enumerate()) - before if "_read" in thread.name]
    assert len(readers) == 1
    call.end()
    await asyncio.to_thread(readers[0].join, 30)
    assert not readers[0].is_alive()


class UnaryCall(Call):
    def abort(self, status: Any, message: str) -> None:
        raise AbortedError(status, message)

    @property
    def watched(self) -> bool:
        """Whether somebody wants to know when it ends."""
        return bool(self._callbacks)


class AbortedError(Exception):
    """How grpcio ends a handler."""


def large_message() -> bytes:
    request = service.ModelInferRequest(model_name="none")
    request.inputs.add(name="x", datatype="FP32", shape=[LARGE]).contents.fp32_contents.extend([1.0] * LARGE)
    return bytes(request.SerializeToString())


async def each_turn_until(happened: Callable[[], bool]) -> None:
    """Let the event loop do what is ready, until it has happened."""
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        await asyncio.sleep(0)


async def test_a_large_request_that_is_being_read_is_under_way() -> None:
    large = LargeRequests()
    inference, call = an_inference(large), UnaryCall()
    answered = asyncio.ensure_future(asyncio.to_thread(inference.infer, large_message(), call))
    await each_turn_until(lambda: inference.busy or answered.done())
    assert not answered.done()
    with pytest.raises(AbortedError, match="unknown model"):
        await answered
    large.close()
    assert not inference.busy


async def test_a_large_request_of_a_client_that_left_is_not_waited_for() -> None:
    large, memory = LargeRequests(), RequestMemory(1 << 24)
    inference, call = an_inference(large, memory), UnaryCall()
    answered = asyncio.ensure_future(asyncio.to_thread(inference.infer, large_message(), call))
    await each_turn_until(lambda: inference.busy and call.watched)
    call.end()
    with pytest.raises(AbortedError, match="the client went away"):
        await answered
    large.close()
    assert (inference.busy, memory.used_bytes) == (False, 0)
