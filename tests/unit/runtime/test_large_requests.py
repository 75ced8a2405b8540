"""The process that reads large requests, and what may go wrong with it."""

import asyncio
import os
import subprocess
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forebay_runtime.protocol import infer_grpc
from forebay_runtime.protocol.errors import InternalError, UnavailableError
from forebay_runtime.protocol.triton_messages import service
from forebay_runtime.server.large_requests import LargeRequests
from forebay_runtime.server.work_threads import WorkThreads


@pytest.fixture
async def large() -> AsyncGenerator[LargeRequests]:
    large = LargeRequests()
    yield large
    large.close()


def described(request_id: str) -> bytes:
    return bytes(service.ModelInferRequest(model_name="m", id=request_id).SerializeToString())


async def request_id(large: LargeRequests, text: str) -> str:
    target: infer_grpc.Target = await large.read("target", described(text))
    return target.request_id


async def test_an_answer_that_finds_no_memory_is_not_the_next_requests_answer(
    large: LargeRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await request_id(large, "first") == "first"
    with monkeypatch.context() as patch:

        def no_memory(*_: Any) -> Any:
            raise MemoryError("no memory for the answer")

        patch.setattr(np, "empty", no_memory)
        with pytest.raises(MemoryError):
            await request_id(large, "second")
    assert await request_id(large, "third") == "third"


async def test_a_reader_that_cannot_be_started_is_a_matter_of_memory(
    large: LargeRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_fork(*_: Any, **__: Any) -> Any:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_fork)
    with pytest.raises(UnavailableError, match="send tensors in binary form"):
        await request_id(large, "first")


async def test_what_the_reader_refuses_leaves_it_running(large: LargeRequests) -> None:
    await request_id(large, "first")
    before = children()
    with pytest.raises(InternalError):
        await large.read("http", b"{", None)
    assert await request_id(large, "second") == "second"
    assert children() == before


async def test_the_reader_does_not_end_by_the_ctrl_c_that_ends_the_server(large: LargeRequests) -> None:
    before = children()
    await request_id(large, "first")
    (reader,) = children() - before
    assert os.getpgid(reader) != os.getpgid(0)


def children() -> set[int]:
    """The processes that threads of this one have started and that were not waited for."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


async def test_a_reader_that_is_just_being_started_does_not_outlive_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    large, starting, started = LargeRequests(), threading.Event(), list[subprocess.Popen[bytes]]()
    popen: Any = subprocess.Popen

    def start(*given: Any, **named: Any) -> Any:
        starting.set()
        # Until the server closes: it must wait for what is being started, and end it.
        assert closing.wait(60)
        started.append(popen(*given, **named))
        return started[0]

    closing = threading.Event()
    close_threads = WorkThreads.close

    def close(threads: WorkThreads) -> None:
        closing.set()
        close_threads(threads)

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(WorkThreads, "close", close)
    asked = asyncio.ensure_future(request_id(large, "first"))
    await asyncio.to_thread(starting.wait, 60)
    await asyncio.to_thread(large.close)
    with suppress(UnavailableError):
        await asked
    assert [process.poll() is not None for process in started] == [True]
