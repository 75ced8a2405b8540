"""The queue and the instances of one loaded version: takes calls, asks `domain.batching` what runs, answers."""

import asyncio
import time
from collections.abc import Sequence

from forebay_runtime.domain import batching
from forebay_runtime.domain.batching import BatchPolicy
from forebay_runtime.protocol.errors import CancelledError, RequestError, UnavailableError, with_request_id
from forebay_runtime.service.call_queue import Call, CallQueue, Stage
from forebay_runtime.service.instances import Batch, BatchResult, Instances
from forebay_runtime.service.statistics import FailureReason, Statistics


class Batcher:
    """Used from the event loop only. A call waits, executes, and is answered; it may be cancelled while it waits."""

    def __init__(self, policy: BatchPolicy, queue: CallQueue, instances: Instances, statistics: Statistics) -> None:
        self._policy = policy
        self._queue = queue
        self._instances = instances
        self._statistics = statistics
        self._loop = asyncio.get_running_loop()
        self._idle_instances = instances.count
        self._pump_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ns = 0
        self._drained = asyncio.Event()
        self._drained.set()
        self.executing = 0

    @property
    def waiting(self) -> int:
        return self._queue.waiting

    @property
    def instance_count(self) -> int:
        return self._instances.count

    def admits(self) -> bool:
        """Whether one more call may wait."""
        return self._queue.admits()

    def submit(self, call: Call) -> None:
        """Queue a call.

        Raises:
            UnavailableError: the queue is full. Then the call is not answered otherwise.
        """
        if not self._queue.admits():
            raise UnavailableError(with_request_id(call.plan.request_id, "Exceeds maximum queue size"))
        self._queue.add(call, time.monotonic_ns())
        self._drained.clear()
        if self._idle_instances:
            # Not at once: what else the loop has just received joins the same batch.
            self._schedule_pump()
        else:
            self._wake_for_deadline()

    def cancel(self, call: Call) -> None:
        """The client went away: a call that still waits is dropped; one in execution is answered to nobody."""
        if call.waits:
            self._refuse(call, FailureReason.CANCELED, CancelledError("the client went away"))

    async def drained(self) -> None:
        """Return when nothing waits and nothing executes."""
        await self._drained.wait()

    def stop(self) -> None:
        """End the instances' threads once they are done."""
        if self._timer:
            self._timer.cancel()
        self._instances.stop()

    def _schedule_pump(self) -> None:
        if not self._pump_scheduled:
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        now_ns = time.monotonic_ns()
        for call in self._queue.expire(now_ns):
            self._refuse(call, FailureReason.REJECTED, UnavailableError("Request timeout expired"))
        while self._idle_instances and self._queue.waiting:
            decision = batching.next_batch(self._policy, self._queue.front(), now_ns)
            if isinstance(decision, batching.Sleep):
                if decision.until_ns is not None:
                    self._wake_at(decision.until_ns)
                break
            self._dispatch(self._queue.take(decision.count), now_ns)
        self._wake_for_deadline()

    def _wake_for_deadline(self) -> None:
        due_ns = self._queue.next_deadline_ns()
        if due_ns is not None:
            self._wake_at(due_ns)

    def _wake_at(self, due_ns: int) -> None:
        if self._timer is not None:
            if self._timer_due_ns <= due_ns:
                return
            self._timer.cancel()
        self._timer_due_ns = due_ns
        self._timer = self._loop.call_later(max(0, due_ns - time.monotonic_ns()) / 1e9, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._pump()

    def _refuse(self, call: Call, reason: FailureReason, error: RequestError) -> None:
        if call.waits:
            self._queue.drop(call)
        self._statistics.failed(reason, time.monotonic_ns() - call.enqueued_ns)
        self._settle()
        call.reply(error)

    def _dispatch(self, calls: Sequence[Call], now_ns: int) -> None:
        for call in calls:
            call.dispatched_ns = now_ns
        self.executing += len(calls)
        self._idle_instances -= 1
        batch = Batch([call.inputs for call in calls], [call.rows for call in calls], _output_names(calls))
        self._instances.start(batch, lambda result: self._hand_back(calls, result))

    def _hand_back(self, calls: Sequence[Call], result: BatchResult) -> None:
        if self._instances.inline:
            self._loop.call_soon(self._finished, calls, result)
            return
        try:
            self._loop.call_soon_threadsafe(self._finished, calls, result)
        except RuntimeError:
            # The loop is closed: the process ends, and nobody waits for the answer any more.
            return

    def _finished(self, calls: Sequence[Call], result: BatchResult) -> None:
        self._idle_instances += 1
        # The instance gets its next batch before the answers of this one are written.
        if self._queue.waiting:
            self._pump()
        now_ns = time.monotonic_ns()
        self.executing -= len(calls)
        self._statistics.executed(sum(call.rows for call in calls), result.times, time.time_ns() // 1_000_000)
        for index, call in enumerate(calls):
            self._answer(call, result, index, now_ns)
        self._settle()

    def _answer(self, call: Call, result: BatchResult, index: int, now_ns: int) -> None:
        call.stage = Stage.DONE
        call.inputs = {}
        total_ns = now_ns - call.enqueued_ns
        if result.error is not None:
            self._statistics.failed(FailureReason.BACKEND, total_ns)
            call.reply(result.error)
            return
        self._statistics.succeeded(call.rows, total_ns, call.dispatched_ns - call.enqueued_ns, result.times)
        call.reply(result.outputs[index])

    def _settle(self) -> None:
        if not self._queue.waiting and not self.executing:
            self._drained.set()


def _output_names(calls: Sequence[Call]) -> tuple[str, ...]:
    names = calls[0].plan.output_names
    if all(call.plan.output_names == names for call in calls):
        return names
    return tuple(dict.fromkeys(name for call in calls for name in call.plan.output_names))
