"""The threads of gRPC calls, and the refusal of calls that would have to wait for one."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

import grpc

from forebay_runtime.protocol.errors import RetryElsewhereError, UnavailableError
from forebay_runtime.server import grpc_status

P = ParamSpec("P")
T = TypeVar("T")

_REASON: Final = "calls-full"
_REFUSING_THREADS: Final = 2
_FEW: Final = 16


class CallThreads(ThreadPoolExecutor):
    """Threads for one kind of call, made as they are needed. Each call under way occupies one until it is answered."""

    def __init__(self, count: int, kind: str) -> None:
        super().__init__(count, thread_name_prefix=f"grpc-{kind}")
        self._lock = threading.Lock()
        self._calls = 0
        self.count = count
        self.kind = kind

    @property
    def full(self) -> bool:
        """Whether another call would have to wait for a thread."""
        return self._calls >= self.count

    @property
    def lacking(self) -> int:
        """How many calls must end for a sixteenth of the threads to be free."""
        return max(0, self._calls - self.count + -(-self.count // _FEW))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with self._lock:
            self._calls += 1
        call = super().submit(fn, *args, **kwargs)
        call.add_done_callback(self._ended)
        return call

    def _ended(self, _call: Any) -> None:
        with self._lock:
            self._calls -= 1


class CallLimit(grpc.ServerInterceptor):  # type: ignore[misc] # grpcio has no types
    """Refuses what would wait for a thread, where no queue depth would show it.

    A refused call has executed nothing: with the gateway's version it gets the retry answer, else UNAVAILABLE. Its message
    is not received. grpcio hands calls to threads in the one thread in which it asks this, so that none slips through.
    """

    def __init__(self, threads: Mapping[str, CallThreads], on_refused: Callable[[], None]) -> None:
        """`threads` by the full name of the method; `on_refused` is called in any thread."""
        self._threads = threads
        self._on_refused = on_refused
        pool = ThreadPoolExecutor(_REFUSING_THREADS, thread_name_prefix="grpc-refuse")
        self._refusals = {kind.kind: self._refusal(kind, pool) for kind in threads.values()}

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        threads = self._threads.get(handler_call_details.method)
        if threads is None or not threads.full:
            return continuation(handler_call_details)
        return self._refusals[threads.kind]

    def _refusal(self, threads: CallThreads, pool: ThreadPoolExecutor) -> Any:
        message = (
            f"this server already has {threads.count} gRPC {threads.kind} calls waiting or in execution, which is its limit:"
            " try again later, or with fewer calls at once"
        )

        def refuse(_messages: Any, context: Any) -> None:
            self._on_refused()
            gateway = grpc_status.gateway_headers(context.invocation_metadata())
            retried = gateway.version is not None
            grpc_status.abort(context, RetryElsewhereError(message, _REASON) if retried else UnavailableError(message))

        refuse.experimental_thread_pool = pool  # type: ignore[attr-defined] # how grpcio takes a handler's own pool
        # As a stream of requests, whatever the method: such a handler begins before the message has come.
        return grpc.stream_unary_rpc_method_handler(refuse)
