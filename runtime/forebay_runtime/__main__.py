"""`python -m forebay_runtime`, `forebay-runtime`: one server for one device."""

import asyncio
import logging
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress

import uvloop

from forebay_runtime import settings as command_line
from forebay_runtime.engine import process_memory
from forebay_runtime.engine.gpu_memory import GpuError
from forebay_runtime.engine.onnx_session import SessionError
from forebay_runtime.server import process
from forebay_schema import logs


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop. Exit status: 0 ended as told, 1 cannot start (the reason is on standard error)."""
    settings = command_line.parse(arguments)
    logs.configure(settings.log_level)
    _allow_connections()
    if settings.device.kind != "gpu":
        process_memory.bound()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(process.run(settings))
            # A download or a load under way would keep the process from ending, and nobody waits for it any more.
            logging.shutdown()
            os._exit(0)
    except (OSError, SessionError, GpuError) as error:
        print(f"forebay-runtime: {error}", file=sys.stderr)
        return 1
    return 0


def _allow_connections() -> None:
    """A connection is a descriptor: many shells and containers begin with 1,024 and may have far more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems refuse what they call their own limit.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
