"""The first message of a gRPC call, for which nobody waits for ever."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from forebay_runtime.protocol.errors import InvalidArgumentError
from forebay_runtime.server import grpc_status
from forebay_runtime.server.grpc_threads import CallThreads
from forebay_schema.logs import Logger

_log = Logger(__name__)
_LOOK_S: Final = 0.5
_PATIENCE_S: Final = 60.0
_SHORT_S: Final = 5.0


class MessageWatch:
    """Ends calls that keep a thread and send no message: after a minute, or after five seconds where threads are short.

    grpcio does not say whether a message is on its way: a large one that comes slowly is ended as well.
    """

    def __init__(self) -> None:
        self._waiting: dict[Any, tuple[float, CallThreads]] = {}
        threading.Thread(target=self._serve, name="grpc-messages", daemon=True).start()

    def after_message(
        self, behaviour: Callable[[bytes, Any], Any], threads: CallThreads
    ) -> Callable[[Iterator[bytes], Any], Any]:
        """The behaviour as one that takes a stream: such a handler begins before the message has come."""

        def run(messages: Iterator[bytes], context: Any) -> Any:
            self._waiting[context] = (time.monotonic(), threads)
            try:
                message = next(messages, None)
            finally:
                self._waiting.pop(context, None)
            if message is None:
                grpc_status.abort(context, InvalidArgumentError("the call has no message"))
            return behaviour(message, context)

        return run

    def look(self, now: float) -> None:
        """End the calls that have waited too long; `now` by the monotonic clock."""
        for context, (since, threads) in tuple(self._waiting.items()):
            if now - since > (_SHORT_S if threads.short else _PATIENCE_S):
                try:
                    context.cancel()
                except Exception:
                    # Without the watch nothing would end any of them.
                    _log.exception("a gRPC call without a message cannot be ended")

    def _serve(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self.look(time.monotonic())
