"""Descriptions of requests too large to be read in the event loop, or by any thread of this process."""

import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, Final, cast

from forebay_runtime.protocol import reading
from forebay_runtime.protocol.errors import RequestError, UnavailableError
from forebay_runtime.server.work_threads import WorkThreads
from forebay_schema.logs import Logger

_log = Logger(__name__)
LARGE: Final = 1 << 18
"""Bytes of JSON, or of typed gRPC contents, that may take ten milliseconds to read."""
_TRIES: Final = 2


class LargeRequests:
    """Has them read by a process that is started when it is first needed; one after the other."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = WorkThreads(1, "large")
        self._closed = False
        # So that none is started once it is closed: that one would stay.
        self._changing = threading.Lock()

    async def read(self, function: str, description: bytes | memoryview, *rest: Any) -> Any:
        """The result of a function of `protocol.reading`; a caller that is cancelled while it waits holds nothing here.

        Raises:
            RequestError: it refused.
            UnavailableError: it could not be started, or did not live to the end: there was no memory for it.
        """
        if self._closed:
            raise UnavailableError("Server exiting")
        return await self._thread.run(self._read, function, description, *rest)

    def close(self) -> None:
        self._closed = True
        self._thread.close()
        self._end()

    def _read(self, function: str, description: bytes | memoryview, *rest: Any) -> Any:
        for _ in range(_TRIES):
            try:
                process = self._running()
                return reading.ask(cast(Any, process.stdin), cast(Any, process.stdout), function, description, *rest)
            except RequestError:
                raise
            except (EOFError, OSError) as error:
                _log.warning("the reader of large requests ended", reason=repr(error), bytes=len(description))
                self._end()
            except BaseException:
                # Whatever is left in the pipes would be taken for the answer to the next question.
                self._end()
                raise
        raise UnavailableError(
            f"the request's description of {len(description)} bytes could not be read, probably for want of memory:"
            " send tensors in binary form"
        )

    def _running(self) -> "subprocess.Popen[bytes]":
        with self._changing:
            if self._process is None:
                self._process = self._started()
            return self._process

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._closed:
            raise UnavailableError("Server exiting")
        command = [sys.executable, "-m", "forebay_runtime.protocol.reading"]
        # A session of its own: Ctrl-C is for the server, which answers what it has begun. The reader ends with its input.
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def _end(self) -> None:
        with self._changing:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                # What could not be written has nobody to read it.
                with suppress(OSError):
                    cast(Any, pipe).close()
