"""Inference by gRPC: handlers in grpcio's threads hand over to the event loop and wait for the answer."""

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from forebay_runtime.protocol import grpc_wire, infer_grpc
from forebay_runtime.protocol.errors import CancelledError, InternalError, RequestError
from forebay_runtime.protocol.inference import Array, InferPlan, answers_many_texts, tensors
from forebay_runtime.server import grpc_status
from forebay_runtime.server.large_requests import LARGE, LargeRequests
from forebay_runtime.server.work_threads import WorkThreads
from forebay_runtime.service.data_plane import DataPlane, GatewayHeaders, version_of
from forebay_runtime.service.loaded_version import LoadedVersion
from forebay_runtime.service.request_memory import RequestMemory
from forebay_schema.logs import Logger

_log = Logger(__name__)
_STREAM_AHEAD: Final = 1024
"""How many requests of a stream may be on their way before the next is read."""
_PATIENCE_S: Final = 0.5
_TEXT_READERS: Final = 2

Outcome = bytes | RequestError
LateOutcome = Callable[[], Outcome]
"""An outcome that is so much work that the call's own thread does it."""
Raws = Sequence[memoryview]


class Waiter:
    """One request in the event loop that a thread waits for."""

    __slots__ = ("_done", "_loop", "cancel", "on_answer", "outcome", "request_id")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done = threading.Lock()
        self._done.acquire()
        self.outcome: Outcome | LateOutcome | None = None
        self.cancel: Callable[[], object] | None = None
        self.on_answer: Callable[[], None] | None = None
        self.request_id = ""

    def set(self, outcome: Outcome | LateOutcome) -> None:
        """Called in the event loop, once."""
        self.cancel = None
        if self.on_answer is not None:
            self.on_answer()
        self.outcome = outcome
        self._done.release()

    def wait(self) -> Outcome:
        """Called in the thread."""
        with self._done:
            outcome = self.outcome
        assert outcome is not None
        if callable(outcome):
            outcome = self.outcome = outcome()
        return outcome

    def gone(self) -> None:
        """The client went away, or the call has ended; called in any thread."""
        if self.outcome is None:
            try:
                self._loop.call_soon_threadsafe(self._cancel)
            except RuntimeError:
                # The loop is closed: nothing is left to cancel.
                return

    def _cancel(self) -> None:
        if self.cancel is not None:
            self.cancel()


class GrpcInference:
    def __init__(
        self, data_plane: DataPlane, loop: asyncio.AbstractEventLoop, memory: RequestMemory, large: LargeRequests
    ) -> None:
        self._data_plane = data_plane
        self._large = large
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = loop
        self._memory = memory
        self._text_readers = WorkThreads(_TEXT_READERS, "texts")
        # Weakly: nobody asks for the answer of a stream whose client has left.
        self._written_late = WeakSet[LateOutcome]()

    @property
    def busy(self) -> bool:
        """Whether a large request is being read, or a large answer written: they are in no queue, or no longer."""
        return bool(self._tasks) or len(self._written_late) > 0

    def infer(self, message: bytes, context: Any) -> bytes:
        """ModelInfer: serialised request in, serialised response out."""
        waiter = self._begin(message, context)
        context.add_callback(waiter.gone)
        outcome = waiter.wait()
        if isinstance(outcome, RequestError):
            grpc_status.abort(context, outcome)
        return outcome

    def stream_infer(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """ModelStreamInfer: requests run side by side, answers come in the order of their requests."""
        on_their_way: queue.Queue[Waiter | None] = queue.Queue(_STREAM_AHEAD)
        status_wanted = dict(context.invocation_metadata()).get("triton_grpc_error") == "true"
        threading.Thread(target=self._read, args=(messages, context, on_their_way), daemon=True).start()
        while (waiter := on_their_way.get()) is not None:
            outcome = waiter.wait()
            if not isinstance(outcome, RequestError):
                yield infer_grpc.stream_answer(outcome)
            elif status_wanted and isinstance(outcome, InternalError):
                grpc_status.abort(context, outcome)
            else:
                yield infer_grpc.stream_error(waiter.request_id, outcome.message)

    def _read(self, messages: Iterator[bytes], context: Any, on_their_way: "queue.Queue[Waiter | None]") -> None:
        waiters: list[Waiter] = []
        ended = threading.Event()

        def end() -> None:
            ended.set()
            _all_gone(waiters)

        if not context.add_callback(end):
            end()
        try:
            for message in messages:
                waiter = self._begin(message, context)
                waiters[:] = [*(earlier for earlier in waiters if earlier.outcome is None), waiter]
                if ended.is_set():
                    # It came too late to be among those that `end` saw.
                    waiter.gone()
                    break
                _put(on_their_way, waiter, ended)
        except Exception as error:
            # grpcio raises out of the iterator when the client goes away.
            _log.debug("stream ended", reason=repr(error))
        _put(on_their_way, None, ended)

    def _begin(self, message: bytes, context: Any) -> Waiter:
        waiter = Waiter(self._loop)
        self._loop.call_soon_threadsafe(self._submit, message, context.invocation_metadata(), waiter)
        return waiter

    def _submit(self, message: bytes, metadata: Any, waiter: Waiter) -> None:
        """In the event loop: queue the request; the waiter gets the answer or the refusal."""
        try:
            self._queue(message, metadata, waiter)
        except RequestError as error:
            waiter.set(error)
        except Exception:
            _log.exception("request failed", protocol="grpc")
            waiter.set(InternalError("internal error, see the server's log"))

    def _queue(self, message: bytes, metadata: Any, waiter: Waiter) -> None:
        gateway = grpc_status.gateway_headers(metadata)
        size = len(message)
        self._memory.take(size, retried=gateway.version is not None)
        waiter.on_answer = lambda: self._memory.give(size)
        description, raws = grpc_wire.split_request(message)
        if len(description) > LARGE:
            self._later(self._queue_large(description, raws, gateway, waiter), waiter)
            return
        target = infer_grpc.target(description)
        waiter.request_id = target.request_id
        loaded = self._data_plane.find(target.model, version_of(target.version), gateway)
        plan = _plan(loaded, description, raw=bool(raws))
        infer_grpc.check_raws(plan, raws, loaded.key.model)
        if plan.has_many_texts:
            self._later(self._queue_large(description, raws, gateway, waiter), waiter)
        else:
            self._execute(loaded, plan, tensors(plan, raws), gateway, waiter)

    def _later(self, queueing: Coroutine[Any, Any, None], waiter: Waiter) -> None:
        task = asyncio.ensure_future(queueing)
        self._tasks.add(task)
        waiter.cancel = task.cancel
        task.add_done_callback(partial(self._read_large, waiter))

    async def _queue_large(self, description: bytes, raws: Raws, gateway: GatewayHeaders, waiter: Waiter) -> None:
        """Queue a request whose description, or whose text, is not to be read in the event loop."""
        try:
            target = await self._target(description)
            waiter.request_id = target.request_id
            version, raw = version_of(target.version), bool(raws)
            while True:
                loaded, plan = await self._planned(target, description, gateway, raw=raw)
                infer_grpc.check_raws(plan, raws, loaded.key.model)
                arrays = await self._arrays(plan, raws)
                # Else it was replaced meanwhile, and the plan may not fit.
                if self._data_plane.find(target.model, version, gateway) is loaded:
                    break
            self._execute(loaded, plan, arrays, gateway, waiter)
        except RequestError as error:
            waiter.set(error)
        except Exception:
            _log.exception("request failed", protocol="grpc")
            waiter.set(InternalError("internal error, see the server's log"))

    async def _planned(
        self, target: infer_grpc.Target, description: bytes, gateway: GatewayHeaders, *, raw: bool
    ) -> tuple[LoadedVersion, InferPlan]:
        """A plan and the version that it was made for, which serves the model now."""
        version = version_of(target.version)
        loaded = self._data_plane.find(target.model, version, gateway)
        if len(description) <= LARGE:
            return loaded, _plan(loaded, description, raw=raw)
        while True:
            plan: InferPlan = await self._large.read("grpc", description, loaded.signature, raw)
            made_for, loaded = loaded, self._data_plane.find(target.model, version, gateway)
            # Where it was replaced meanwhile, the plan may not fit, and would fail the others of its batch.
            if loaded is made_for:
                return loaded, plan

    def _read_large(self, waiter: Waiter, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            waiter.set(CancelledError("the client went away"))

    async def _target(self, description: bytes) -> infer_grpc.Target:
        if len(description) <= LARGE:
            return infer_grpc.target(description)
        target: infer_grpc.Target = await self._large.read("target", description)
        return target

    async def _arrays(self, plan: InferPlan, raws: Raws) -> dict[str, Array]:
        return await self._text_readers.run(tensors, plan, raws) if plan.has_many_texts else tensors(plan, raws)

    def _execute(
        self, loaded: LoadedVersion, plan: InferPlan, arrays: Mapping[str, Array], gateway: GatewayHeaders, waiter: Waiter
    ) -> None:
        def reply(outcome: Mapping[str, Array] | RequestError) -> None:
            if not isinstance(outcome, RequestError) and answers_many_texts(plan, outcome):
                late: LateOutcome = partial(_answer, loaded, plan, outcome)
                self._written_late.add(late)
                waiter.set(late)
            else:
                waiter.set(_answer(loaded, plan, outcome))

        call = self._data_plane.submit(loaded, plan, arrays, gateway, reply)
        waiter.cancel = lambda: loaded.batcher.cancel(call)


def _plan(loaded: LoadedVersion, description: bytes, *, raw: bool) -> InferPlan:
    return loaded.grpc_plans.get(description) or loaded.grpc_plans.keep(
        description, infer_grpc.plan(description, loaded.signature, raw=raw)
    )


def _answer(loaded: LoadedVersion, plan: InferPlan, outcome: Mapping[str, Array] | RequestError) -> Outcome:
    if isinstance(outcome, RequestError):
        return outcome
    try:
        return infer_grpc.answer(loaded.signature, plan, outcome)
    except Exception:
        _log.exception("answer failed", protocol="grpc", model=loaded.key.model)
        return InternalError("the model's outputs cannot be sent, see the server's log")


def _put(on_their_way: "queue.Queue[Waiter | None]", waiter: Waiter | None, ended: threading.Event) -> None:
    """Wait for room in the queue, but not for ever when nobody will take anything out of it any more."""
    while True:
        try:
            on_their_way.put(waiter, timeout=_PATIENCE_S)
        except queue.Full:
            if ended.is_set():
                return
        else:
            return


def _all_gone(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        waiter.gone()
