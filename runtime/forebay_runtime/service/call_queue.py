"""Requests that wait for an instance, in the order in which they are served."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from forebay_runtime.domain import queue_policy
from forebay_runtime.domain.queue_policy import QueuePolicy, TimeoutAction
from forebay_runtime.protocol.errors import RequestError
from forebay_runtime.protocol.inference import Array, InferPlan

Reply = Callable[[Mapping[str, Array] | RequestError], None]


class Stage(Enum):
    WAITING = 1
    POSTPONED = 2
    """Waiting, but behind all others: it has waited longer than it should."""
    EXECUTING = 3
    DONE = 4


class Call:
    """One request on its way through a queue. `reply` is called exactly once, in the event loop."""

    __slots__ = ("dispatched_ns", "enqueued_ns", "inputs", "plan", "reply", "rows", "shape", "stage")

    def __init__(self, plan: InferPlan, inputs: Mapping[str, Array], reply: Reply) -> None:
        self.plan = plan
        self.inputs = inputs
        self.reply = reply
        self.rows = plan.rows
        self.shape = plan.shape
        self.enqueued_ns = 0
        self.dispatched_ns = 0
        self.stage = Stage.DONE

    @property
    def waits(self) -> bool:
        return self.stage is Stage.WAITING or self.stage is Stage.POSTPONED


class CallQueue:
    """First come, first served, except for postponed calls: they come after all others.

    A call that no longer waits stays where it is until it comes to the front: dropping one costs the same however many wait.
    """

    def __init__(self, policy: QueuePolicy) -> None:
        self._policy = policy
        self._calls: deque[Call] = deque()
        self._postponed: deque[Call] = deque()
        self._deadlines: list[tuple[int, int, Call]] = []
        self._added = 0
        self.waiting = 0

    def admits(self) -> bool:
        """Whether one more call may wait."""
        return queue_policy.admits(self._policy, self.waiting)

    def add(self, call: Call, now_ns: int) -> None:
        call.stage = Stage.WAITING
        call.enqueued_ns = now_ns
        self.waiting += 1
        self._calls.append(call)
        deadline_ns = queue_policy.deadline_ns(self._policy, now_ns, call.plan.timeout_ns)
        if deadline_ns is not None:
            self._added += 1
            heapq.heappush(self._deadlines, (deadline_ns, self._added, call))

    def drop(self, call: Call) -> None:
        """The call waits no longer, and will not be taken."""
        call.stage = Stage.DONE
        call.inputs = {}
        self.waiting -= 1

    def expire(self, now_ns: int) -> list[Call]:
        """Drop and return the calls that have waited too long; under the DELAY policy they are postponed instead."""
        expired: list[Call] = []
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            call = heapq.heappop(self._deadlines)[2]
            if call.stage is not Stage.WAITING:
                continue
            if self._policy.action is TimeoutAction.DELAY:
                call.stage = Stage.POSTPONED
                self._postponed.append(call)
            else:
                self.drop(call)
                expired.append(call)
        return expired

    def next_deadline_ns(self) -> int | None:
        """When `expire` next has something to do."""
        while self._deadlines and self._deadlines[0][2].stage is not Stage.WAITING:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def front(self) -> Iterator[Call]:
        """The calls that may run next, in order: the postponed ones only where no others wait."""
        yield from _still(self._calls, Stage.WAITING) if self._any_in_time() else _still(self._postponed, Stage.POSTPONED)

    def take(self, count: int) -> list[Call]:
        """Remove the first `count` of `front`."""
        queue, stage = (self._calls, Stage.WAITING) if self._any_in_time() else (self._postponed, Stage.POSTPONED)
        taken: list[Call] = []
        while len(taken) < count:
            call = queue.popleft()
            if call.stage is stage:
                call.stage = Stage.EXECUTING
                taken.append(call)
        self.waiting -= count
        return taken

    def _any_in_time(self) -> bool:
        while self._calls and self._calls[0].stage is not Stage.WAITING:
            self._calls.popleft()
        return bool(self._calls)


def _still(queue: deque[Call], stage: Stage) -> Iterator[Call]:
    return (call for call in queue if call.stage is stage)
