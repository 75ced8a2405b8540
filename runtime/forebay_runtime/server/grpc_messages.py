"""The first message of a gRPC call, for which nobody waits for ever."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

from forebay_runtime.protocol.errors import InvalidArgumentError
from forebay_runtime.server import grpc_status
from forebay_runtime.server.grpc_threads import CallThreads
from forebay_schema.logs import Logger

_log = Logger(__name__)
_LOOK_S: Final = 0.1
_PATIENCE_S: Final = 60.0
_SHORT_S: Final = 5.0
_LEAST_S: Final = 0.25


class MessageWatch:
    """Ends calls that keep a thread and send no message: after a minute, or after five seconds where threads are short.

    Of those that have waited for a quarter of a second, as many are ended at once as are wanted for threads not to be
    short: the oldest of the address that has most of them. grpcio does not say whether a message is on its way: a large
    one that comes slowly is ended as well.
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
        waiting = tuple(self._waiting.items())
        late = [context for context, (since, threads) in waiting if now - since > _patience_s(threads)]
        for context in late:
            _end(context)
        for threads in {threads for _, (_, threads) in waiting if threads.lacking}:
            old = [
                (since, context)
                for context, (since, of) in waiting
                if of is threads and _LEAST_S < now - since <= _patience_s(threads)
            ]
            for context in _greediest(old, threads.lacking):
                _end(context)

    def _serve(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self.look(time.monotonic())


def _patience_s(threads: CallThreads) -> float:
    return _SHORT_S if threads.lacking else _PATIENCE_S


def _greediest(waiting: Sequence[tuple[float, Any]], count: int) -> list[Any]:
    """So many of these calls (since when, and which), the oldest first, of whoever has most of them."""
    by_address = defaultdict[str, list[tuple[float, Any]]](list)
    for since, context in waiting:
        # All but the port, which is another one for each connection.
        by_address[context.peer().rpartition(":")[0]].append((since, context))
    chosen: list[Any] = []
    for calls in sorted(by_address.values(), key=len, reverse=True):
        chosen += [context for _, context in sorted(calls, key=itemgetter(0))]
    return chosen[:count]


def _end(context: Any) -> None:
    try:
        context.cancel()
    except Exception:
        # Without the watch nothing would end any of them.
        _log.exception("a gRPC call without a message cannot be ended")
