"""A `forebay up` of the demo's own: the same process that a user starts, on simulated GPUs and free ports."""

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from forebay_operator.cli.connection import CommandError
from forebay_operator.cli.local_api import LocalApi

START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.1
MODEL_PATH: Final = "/objects/default/digits"


class StageError(Exception):
    """The demo cannot go on; the message says what did not come and where to look."""


class Stage:
    """A running `forebay up`, as the demo sees it."""

    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._events_shown = 0

    @property
    def http_address(self) -> str:
        return f"127.0.0.1:{self._api.description.http_port}"

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self._api.description.grpc_port}"

    async def model(self) -> dict[str, Any]:
        """The ModelDeployment, its inputs and outputs, as `forebay get digits` shows them."""
        return await asyncio.to_thread(self._api.get, MODEL_PATH)

    async def load(self) -> dict[str, Any]:
        """Queue, replicas and the last decision of the model, as `forebay top` shows them."""
        picture = await asyncio.to_thread(self._api.get, "/top")
        models = [model for model in picture["models"] if model["name"] == "digits"]
        return models[0] if models else {}

    async def new_events(self) -> list[str]:
        """What happened since the last call, as lines for people."""
        events = (await asyncio.to_thread(self._api.get, "/events"))["events"]
        fresh, self._events_shown = events[self._events_shown :], len(events)
        return [f"{event['subject']}: {event['text']}" for event in fresh]


@asynccontextmanager
async def forebay_up(folder: Path, manifest: Path, devices: str) -> AsyncGenerator[Stage]:
    """Start `forebay up` with an empty state, and end it with Ctrl-C's signal.

    Raises:
        StageError: it does not start, or does not end.
    """
    state, log = folder / "state", folder / "up.log"
    shutil.rmtree(state, ignore_errors=True)
    arguments = ["up", str(manifest), "--devices", devices, "--state", str(state), "--http-port", "0", "--grpc-port", "0"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "forebay_operator.cli", *arguments, stdout=output, stderr=output
        )
    try:
        yield Stage(await _connect(process, state, log))
    finally:
        await _end(process)


async def _connect(process: asyncio.subprocess.Process, state: Path, log: Path) -> LocalApi:
    async with asyncio.timeout(START_TIMEOUT_S):
        while process.returncode is None:
            try:
                return LocalApi.open(state)
            except CommandError:
                await asyncio.sleep(_LOOK_EVERY_S)
    raise StageError(f"forebay up ended with status {process.returncode}: {_last_lines(log)} (all of it: {log})")


def _last_lines(log: Path) -> str:
    return " / ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:])


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), END_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise StageError(f"forebay up did not end within {END_TIMEOUT_S:.0f} s of Ctrl-C and was killed") from None
