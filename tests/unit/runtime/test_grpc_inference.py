"""gRPC's threads and the event loop, without a network: what happens when clients leave."""

import asyncio
import threading
from collections.abc import Callable

from forebay_runtime.server.grpc_inference import GrpcInference
from forebay_runtime.server.large_requests import LargeRequests
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


def an_inference() -> GrpcInference:
    """Over an empty store."""
    data_plane = DataPlane(ModelStore(), strict_readiness=True)
    return GrpcInference(data_plane, asyncio.get_running_loop(), RequestMemory(1 << 20), LargeRequests())


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
