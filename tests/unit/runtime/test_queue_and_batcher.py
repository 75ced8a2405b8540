"""Calls through a queue and the instances behind it, with models that are plain functions."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_runtime.domain.batching import BatchPolicy
from forebay_runtime.domain.pace import UNPACED, Pace
from forebay_runtime.domain.queue_policy import QueuePolicy, TimeoutAction
from forebay_runtime.protocol.errors import CancelledError, InternalError, RequestError, RunTimeoutError, UnavailableError
from forebay_runtime.protocol.inference import Array, InferPlan
from forebay_runtime.service.batcher import Batcher
from forebay_runtime.service.call_queue import Call, CallQueue
from forebay_runtime.service.instances import Batch, InlineInstance, InlineWatch, Model, ThreadInstances, execute
from forebay_runtime.service.run_watch import MemoryBound, RunWatch, StoppableModel
from forebay_runtime.service.statistics import FailureReason, Statistics

Outcome = Mapping[str, Array] | RequestError


class Doubling:
    """y = 2 x; remembers the rows of its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        self.batches.append(len(inputs["x"]))
        return [2 * inputs["x"] for _ in output_names]


class Failing:
    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        raise ValueError(f"bad weather for {len(inputs)} inputs and {len(output_names)} outputs")


class Mixing:
    """Gives one row for the whole batch."""

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        return [inputs["x"].sum(keepdims=True) for _ in output_names]


class Silent:
    """Gives only outputs that are named like inputs."""

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        return [inputs[name] for name in output_names if name in inputs]


class Stoppable:
    """A model that need not be stopped, where one is needed that can be."""

    def __init__(self, model: Model) -> None:
        self.run = model.run

    def interrupt(self) -> None:
        """Nothing to stop."""


class Endless:
    """Runs in the event loop's thread until it is interrupted; in other threads it answers at once."""

    def __init__(self) -> None:
        self._loop_thread = threading.get_ident()
        self._interrupted = threading.Event()

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        if threading.get_ident() == self._loop_thread:
            assert self._interrupted.wait(60)
            raise ValueError("interrupted")
        return [inputs["x"] for _ in output_names]

    def interrupt(self) -> None:
        self._interrupted.set()


class Stuck:
    """Takes its time with negative numbers, and cannot be stopped."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        if inputs["x"].min() < 0:
            assert self.end.wait(60)
        return [inputs["x"] for _ in output_names]

    def interrupt(self) -> None:
        """It does not listen."""


WATCH = InlineWatch()
RUNS = RunWatch(60.0)


def a_call(value: float = 1.0, rows: int = 1, timeout_ns: int = 0, outcomes: list[Outcome] | None = None) -> Call:
    plan = InferPlan("", rows, ((1,),), (), (), ("y",), timeout_ns)
    received: list[Outcome] = outcomes if outcomes is not None else []
    return Call(plan, {"x": np.full((rows, 1), value, np.float32)}, received.append)


def threads_of(model: StoppableModel, pace: Pace = UNPACED, runs: RunWatch = RUNS) -> ThreadInstances:
    return ThreadInstances(lambda: model, 1, pace, "test", watch=runs, limit_s=runs.limit_s)


def a_batcher(
    model: Model, *, batch: BatchPolicy | None = None, queue: QueuePolicy | None = None, inline: bool = False
) -> Batcher:
    thread = threads_of(Stoppable(model))
    instances = InlineInstance(Stoppable(model), WATCH, RUNS, lambda: thread, name="test", limit_s=60.0) if inline else thread
    return Batcher(batch or BatchPolicy(8), CallQueue(queue or QueuePolicy()), instances, Statistics())


def test_expired_calls_are_dropped_and_the_others_stay() -> None:
    queue = CallQueue(QueuePolicy(default_timeout_ns=10, allow_override=True))
    patient, hasty = a_call(), a_call(timeout_ns=3)
    queue.add(patient, 100)
    queue.add(hasty, 100)
    assert queue.next_deadline_ns() == 103
    assert queue.expire(103) == [hasty]
    assert (queue.waiting, list(queue.front())) == (1, [patient])
    assert queue.next_deadline_ns() == 110


def test_postponed_calls_come_after_all_others() -> None:
    queue = CallQueue(QueuePolicy(default_timeout_ns=10, action=TimeoutAction.DELAY))
    late, fresh = a_call(), a_call()
    queue.add(late, 0)
    queue.add(fresh, 8)
    assert queue.expire(10) == []
    assert (queue.take(1), queue.waiting) == ([fresh], 1)
    assert list(queue.front()) == [late]
    assert (queue.take(1), queue.waiting) == ([late], 0)


@given(st.lists(st.sampled_from(["add", "drop", "take"]), max_size=60))
def test_a_queue_counts_what_waits_and_serves_in_order(steps: list[str]) -> None:
    queue, expected = CallQueue(QueuePolicy()), list[Call]()
    for now, step in enumerate(steps):
        if step == "add":
            expected.append(a_call())
            queue.add(expected[-1], now)
        elif step == "drop" and expected:
            queue.drop(expected.pop(len(expected) // 2))
        elif step == "take" and expected:
            assert queue.take(1) == [expected.pop(0)]
        assert queue.waiting == len(expected)
        assert list(queue.front()) == expected


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_each_request_of_a_batch_gets_its_own_rows(rows: list[int]) -> None:
    inputs = [{"x": np.full((count, 1), index, np.float32)} for index, count in enumerate(rows)]
    result = execute(Doubling(), Batch(inputs, rows, ("y",)), UNPACED)
    assert result.error is None
    for index, (count, outputs) in enumerate(zip(rows, result.outputs, strict=True)):
        np.testing.assert_array_equal(outputs["y"], np.full((count, 1), 2 * index, np.float32))


def test_a_model_that_mixes_rows_is_found_out() -> None:
    inputs = [{"x": np.ones((1, 1), np.float32)} for _ in range(2)]
    result = execute(Mixing(), Batch(inputs, [1, 1], ("y",)), UNPACED)
    assert isinstance(result.error, InternalError)
    assert "set max_batch_size to 0" in result.error.message


def test_a_paced_batch_is_busy_for_its_pace() -> None:
    result = execute(Doubling(), Batch([{"x": np.ones((2, 1), np.float32)}], [2], ("y",)), Pace(0.01, 0.005))
    assert result.times.total_ns >= 20e6
    assert result.times.infer_ns >= result.times.total_ns / 2


@pytest.mark.parametrize("inline", [False, True])
async def test_what_arrives_together_runs_together(inline: bool) -> None:
    model, outcomes = Doubling(), list[Outcome]()
    batcher = a_batcher(model, inline=inline)
    for value in range(3):
        batcher.submit(a_call(value, outcomes=outcomes))
    await batcher.drained()
    batcher.stop()
    assert model.batches == [3]
    assert [float(outcome["y"][0, 0]) for outcome in outcomes if not isinstance(outcome, RequestError)] == [0, 2, 4]


@pytest.mark.parametrize("inline", [False, True])
async def test_a_model_that_fails_fails_its_batch_only(inline: bool) -> None:
    outcomes = list[Outcome]()
    batcher = a_batcher(Failing(), inline=inline)
    batcher.submit(a_call(outcomes=outcomes))
    await batcher.drained()
    batcher.submit(a_call(outcomes=outcomes))
    await batcher.drained()
    batcher.stop()
    assert [outcome.message for outcome in outcomes if isinstance(outcome, InternalError)] == [
        "bad weather for 1 inputs and 1 outputs"
    ] * 2


async def test_a_full_queue_refuses_and_says_so() -> None:
    batcher = a_batcher(Doubling(), queue=QueuePolicy(max_size=1))
    batcher.submit(a_call())
    with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
        batcher.submit(a_call())
    await batcher.drained()
    batcher.stop()


async def test_a_cancelled_call_is_answered_once_and_never_run() -> None:
    model, outcomes = Doubling(), list[Outcome]()
    batcher = a_batcher(model)
    call = a_call(outcomes=outcomes)
    batcher.submit(call)
    batcher.cancel(call)
    batcher.cancel(call)
    await batcher.drained()
    batcher.submit(a_call())
    await batcher.drained()
    batcher.stop()
    assert (len(outcomes), type(outcomes[0]), model.batches) == (1, CancelledError, [1])


async def test_a_batch_waits_for_company_as_long_as_it_may() -> None:
    model = Doubling()
    batcher = a_batcher(model, batch=BatchPolicy(8, max_delay_ns=50_000_000))
    batcher.submit(a_call())
    await asyncio.sleep(0)
    batcher.submit(a_call())
    await batcher.drained()
    batcher.stop()
    assert model.batches == [2]


async def test_a_call_that_waited_too_long_is_refused_by_the_clock() -> None:
    outcomes = list[Outcome]()
    statistics = Statistics()
    instances = threads_of(Stoppable(Doubling()), Pace(0.2))
    policy = QueuePolicy(default_timeout_ns=60_000_000_000, allow_override=True)
    batcher = Batcher(BatchPolicy(1), CallQueue(policy), instances, statistics)
    batcher.submit(a_call())
    await asyncio.sleep(0)
    batcher.submit(a_call(timeout_ns=20_000_000, outcomes=outcomes))
    await batcher.drained()
    batcher.stop()
    assert [str(outcome) for outcome in outcomes] == ["Request timeout expired"]
    assert statistics.failures[FailureReason.REJECTED] == 1
    assert (statistics.inference_count, statistics.execution_count) == (1, 1)


@pytest.mark.parametrize("inline", [False, True])
async def test_inputs_that_cannot_be_joined_fail_their_batch_only(inline: bool) -> None:
    model, outcomes = Doubling(), list[Outcome]()
    batcher = a_batcher(model, inline=inline)
    wider = a_call(outcomes=outcomes)
    wider.inputs = {"x": np.ones((1, 2), np.float32)}
    batcher.submit(a_call(outcomes=outcomes))
    batcher.submit(wider)
    await asyncio.wait_for(batcher.drained(), 30)
    batcher.submit(a_call(outcomes=outcomes))
    await asyncio.wait_for(batcher.drained(), 30)
    batcher.stop()
    assert [isinstance(outcome, InternalError) for outcome in outcomes] == [True, True, False]


async def test_what_keeps_the_event_loop_is_interrupted_and_runs_in_a_thread() -> None:
    watch, model, outcomes = InlineWatch(0.2), Endless(), list[Outcome]()
    instance = InlineInstance(model, watch, RUNS, lambda: threads_of(model), name="test", limit_s=60.0)
    batcher = Batcher(BatchPolicy(8), CallQueue(QueuePolicy()), instance, Statistics())
    for _ in range(2):
        batcher.submit(a_call(outcomes=outcomes))
        await asyncio.wait_for(batcher.drained(), 60)
    batcher.stop()
    watch.stop()
    assert [isinstance(outcome, RequestError) for outcome in outcomes] == [False, False]
    assert not instance.inline


def test_outputs_that_cannot_be_parted_fail_their_batch() -> None:
    result = execute(Silent(), Batch([{"x": np.ones((1, 1), np.float32)}], [1], ("y",)), UNPACED)
    assert isinstance(result.error, InternalError)


async def test_a_run_that_does_not_end_is_answered_and_others_run_in_its_place() -> None:
    runs, model, outcomes = RunWatch(0.2, grace_s=0.2), Stuck(), list[Outcome]()
    batcher = Batcher(BatchPolicy(1), CallQueue(QueuePolicy()), threads_of(model, runs=runs), Statistics())
    for value in (-1.0, 1.0, -1.0, 2.0):
        batcher.submit(a_call(value, outcomes=outcomes))
    await asyncio.wait_for(batcher.drained(), 60)
    model.end.set()
    batcher.stop()
    runs.stop()
    assert [isinstance(outcome, RunTimeoutError) for outcome in outcomes] == [True, False, True, False]
    assert "--run-timeout-secs" in str(outcomes[0])


async def test_memory_beyond_what_may_be_taken_stops_the_run_that_has_taken_longest() -> None:
    taken = [1]
    runs, model, outcomes = (
        RunWatch(60.0, MemoryBound(10, lambda: taken[0], lambda: None), grace_s=0.2),
        Stuck(),
        list[Outcome](),
    )
    batcher = Batcher(BatchPolicy(1), CallQueue(QueuePolicy()), threads_of(model, runs=runs), Statistics())
    batcher.submit(a_call(-1.0, outcomes=outcomes))
    await asyncio.sleep(0)
    taken[0] = 11
    await asyncio.wait_for(batcher.drained(), 60)
    taken[0] = 1
    model.end.set()
    batcher.stop()
    runs.stop()
    assert [str(outcome).partition(",")[0] for outcome in outcomes] == [
        "the model was stopped: this server took 0 MiB of memory"
    ]


class JustInTime(Endless):
    """Comes to its end just as it is interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        self.runs += 1
        with suppress(ValueError):
            return super().run(output_names, inputs)
        return [inputs["x"] for _ in output_names]


async def test_a_run_that_succeeds_just_as_it_is_interrupted_is_not_repeated() -> None:
    watch, model, outcomes = InlineWatch(0.2), JustInTime(), list[Outcome]()
    instance = InlineInstance(model, watch, RUNS, lambda: threads_of(model), name="test", limit_s=60.0)
    batcher = Batcher(BatchPolicy(8), CallQueue(QueuePolicy()), instance, Statistics())
    batcher.submit(a_call(outcomes=outcomes))
    await asyncio.wait_for(batcher.drained(), 60)
    batcher.stop()
    watch.stop()
    assert (len(outcomes), isinstance(outcomes[0], RequestError), model.runs, instance.inline) == (1, False, 1, False)


async def test_a_run_in_the_event_loop_has_the_time_that_its_model_says() -> None:
    watch, runs, model, outcomes = InlineWatch(1e6), RunWatch(60.0), Endless(), list[Outcome]()
    instance = InlineInstance(model, watch, runs, lambda: threads_of(model), name="test", limit_s=0.2)
    batcher = Batcher(BatchPolicy(8), CallQueue(QueuePolicy()), instance, Statistics())
    batcher.submit(a_call(outcomes=outcomes))
    await asyncio.wait_for(batcher.drained(), 60)
    batcher.stop()
    watch.stop()
    runs.stop()
    assert [isinstance(outcome, RunTimeoutError) for outcome in outcomes] == [True]
