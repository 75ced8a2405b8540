"""The holder's decisions, with a clock of the test's own and exchanges that remember their answer."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from forebay_gateway.holder.answers import LET_GO, NOT_READY, READY, Answer
from forebay_gateway.holder.calls import ModelCall, ReadyCall, RequestHead
from forebay_gateway.holder.holder import UNKNOWN_SIZE, Exchange, Holder
from forebay_gateway.holder.pacing import FIRST_WINDOW
from forebay_gateway.holder.queue import Held
from forebay_gateway.holder.surges import Load
from forebay_gateway.xds.routes import FINAL_ATTEMPT
from forebay_schema import headers
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import HoldLimits
from gateway_xds import index, route

A = ModelAddress(namespace="default", name="a")
HELD = index(route("a"))
ROUTED = index(route("a", (1, 100, 8000)))
NOW = 1_000_000.0


@dataclass
class Caller:
    """One request's exchange."""

    answered: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, answer: Answer) -> None:
        self.answered.set_result(answer)

    @property
    def error(self) -> str:
        return self.answered.result().error if self.answered.done() else "waits"


@dataclass
class Scene:
    """A holder with its clock, and how often it has told of a model that was woken."""

    now: float = NOW
    clock_set: float = 0.0
    """By how much the date was set since the start."""
    woken: int = 0
    holder: Holder = field(init=False)

    def __post_init__(self) -> None:
        self.holder = Holder(lambda: self.now, lambda: self.now + self.clock_set, self._on_woken)

    def _on_woken(self) -> None:
        self.woken += 1

    def follow(self, table: Any) -> None:
        """The controller's table, acknowledged by Envoy."""
        self.holder.follow(table)
        self.holder.acknowledge(table)

    def call(self, *, ended: bool = False, **fields: str) -> tuple[Caller, Held[Exchange] | None]:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        caller = Caller()
        head = RequestHead("POST", "/v2/models/a/infer", "a.default", {headers.ATTEMPT: "1", **named}, ended)
        return caller, self.holder.arrive(ModelCall(A), head, caller)

    def calls(self, count: int) -> list[Caller]:
        return [self.call(content_length="9")[0] for _ in range(count)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def let_go(callers: list[Caller]) -> int:
    return sum(caller.answered.done() and caller.answered.result() == LET_GO for caller in callers)


async def test_requests_wait_until_envoy_has_acknowledged_a_replica(scene: Scene) -> None:
    scene.follow(HELD)
    callers = scene.calls(3)
    scene.holder.follow(ROUTED)
    assert (let_go(callers), scene.holder.held(A)) == (0, 3)
    scene.holder.acknowledge(ROUTED)
    assert (let_go(callers), scene.holder.held(A)) == (3, 0)


async def test_requests_wait_when_the_controller_has_taken_the_replica_back(scene: Scene) -> None:
    scene.holder.acknowledge(ROUTED)
    scene.holder.follow(HELD)
    assert scene.call()[0].error == "waits"


async def test_only_the_first_request_wakes_a_model(scene: Scene) -> None:
    scene.follow(HELD)
    scene.calls(3)
    assert scene.woken == 1


async def test_a_request_for_a_ready_model_wakes_nothing_and_goes_back_soon(scene: Scene) -> None:
    scene.follow(ROUTED)
    caller, _ = scene.call(x_envoy_attempt_count="3")
    assert (scene.woken, caller.error) == (0, "waits")
    assert await asyncio.wait_for(caller.answered, 30) == LET_GO


async def test_what_replicas_send_back_goes_before_what_came_after_it(scene: Scene) -> None:
    scene.follow(ROUTED)
    fresh = [scene.call(x_envoy_attempt_count="2")[0] for _ in range(3)]
    returned, _ = scene.call(x_envoy_attempt_count="4")
    assert await asyncio.wait_for(returned.answered, 30) == LET_GO
    assert let_go(fresh) == 0
    for caller in fresh:
        assert await asyncio.wait_for(caller.answered, 30) == LET_GO


async def test_nothing_is_kept_of_a_model_whose_requests_were_all_taken(scene: Scene) -> None:
    scene.follow(ROUTED)
    caller, _ = scene.call(x_envoy_attempt_count="2")
    await asyncio.wait_for(caller.answered, 30)
    async with asyncio.timeout(30):
        while scene.holder.letting_go:  # noqa: ASYNC110 - the holder tells nobody that it forgets
            await asyncio.sleep(0.01)


async def test_a_surge_is_let_go_by_windows(scene: Scene) -> None:
    scene.follow(HELD)
    callers = scene.calls(500)
    scene.follow(ROUTED)
    await asyncio.gather(*(caller.answered for caller in callers[:FIRST_WINDOW]))
    assert let_go(callers) == FIRST_WINDOW
    assert scene.holder.letting_go
    scene.holder.take_reports({A: 60})
    await asyncio.gather(*(caller.answered for caller in callers[: FIRST_WINDOW + 8]))
    assert let_go(callers) == FIRST_WINDOW + 8, "a trickle, while the replica is busy"
    scene.holder.take_reports({})
    await asyncio.gather(*(caller.answered for caller in callers[: 2 * FIRST_WINDOW]))
    done = [caller.answered.done() for caller in callers]
    assert done == sorted(done, reverse=True), "first come, first out"


async def test_a_surge_is_let_go_also_without_load_reports(scene: Scene) -> None:
    scene.follow(HELD)
    callers = scene.calls(3 * FIRST_WINDOW)
    scene.follow(ROUTED)
    while let_go(callers) < len(callers):
        scene.now += 1
        await asyncio.sleep(0.01)


async def test_a_request_that_waited_too_long_is_refused(scene: Scene) -> None:
    scene.follow(index(route("a", hold=HoldLimits(seconds=45))))
    late, _ = scene.call(x_forebay_start=str(NOW - 40))
    early, _ = scene.call(x_forebay_start=str(NOW))
    scene.now = NOW + 5
    assert "within 45 s" in (await asyncio.wait_for(late.answered, 30)).error
    assert early.error == "waits"


async def test_a_request_without_a_time_waits_from_now_on(scene: Scene) -> None:
    scene.follow(HELD)
    _, held = scene.call(x_forebay_start="yesterday")
    assert held
    assert held.deadline == NOW + 45


@pytest.mark.parametrize(
    ("fields", "ended", "size"),
    [
        ({"content_length": "7"}, False, 7),
        ({}, False, UNKNOWN_SIZE),
        ({}, True, 0),
        ({"content_length": "-1"}, False, UNKNOWN_SIZE),
    ],
)
async def test_a_request_is_charged_its_length_or_a_reserve(
    scene: Scene, fields: dict[str, str], ended: bool, size: int
) -> None:
    scene.follow(HELD)
    scene.call(ended=ended, **fields)
    assert scene.holder.held_bytes(A) == size


async def test_a_request_that_turns_out_too_large_is_refused(scene: Scene) -> None:
    scene.follow(index(route("a", hold=HoldLimits(bytes=2 * UNKNOWN_SIZE))))
    caller, held = scene.call()
    assert held
    scene.holder.learn_size(held, 100)
    assert (scene.holder.held_bytes(A), caller.error) == (100, "waits")
    scene.holder.learn_size(held, 3 * UNKNOWN_SIZE)
    assert "may wait for one" in caller.error
    assert scene.holder.held(A) == 0


async def test_a_client_that_left_is_not_answered(scene: Scene) -> None:
    scene.follow(HELD)
    caller, held = scene.call()
    assert held
    scene.holder.depart(held)
    scene.follow(ROUTED)
    assert caller.error == "waits"
    assert scene.holder.counts.gone[A] == 1


async def test_an_attempt_near_envoy_s_last_is_answered_for_good(scene: Scene) -> None:
    scene.follow(ROUTED)
    assert scene.call(x_envoy_attempt_count=str(FINAL_ATTEMPT))[0].error == "waits"
    assert "after many attempts" in scene.call(x_envoy_attempt_count=str(FINAL_ATTEMPT + 1))[0].error


async def test_retries_and_refusals_are_counted(scene: Scene) -> None:
    scene.follow(index(route("a", hold=HoldLimits(requests=1))))
    scene.call()
    scene.call(x_envoy_attempt_count="2")
    scene.call()
    assert (scene.holder.counts.first[A], scene.holder.counts.refused[A]) == (2, 2)


async def test_the_counts_of_a_deleted_model_are_forgotten(scene: Scene) -> None:
    scene.follow(HELD)
    scene.calls(2)
    scene.follow(index())
    counts = scene.holder.counts
    assert [dict(each) for each in (counts.first, counts.released, counts.refused, counts.gone)] == [{}, {}, {}, {}]


async def test_requests_for_unknown_models_leave_nothing_behind(scene: Scene) -> None:
    caller, _ = scene.call()
    assert "unknown model" in caller.error
    assert not scene.holder.counts.refused


async def test_a_mirrored_copy_is_refused(scene: Scene) -> None:
    scene.follow(HELD)
    assert "a mirrored copy is not held" in scene.call(x_forebay_mirror="1")[0].error


async def test_a_stopped_model_refuses_what_waits_and_what_comes(scene: Scene) -> None:
    scene.follow(HELD)
    waiting, _ = scene.call()
    scene.follow(index(route("a", state="stopped", reason="spec.stopped is true")))
    assert waiting.error == scene.call()[0].error == "model 'a' is stopped: spec.stopped is true"


async def test_readiness_is_answered_without_waking(scene: Scene) -> None:
    for table, expected in ((HELD, READY), (ROUTED, READY), (index(route("a", state="stopped")), NOT_READY)):
        scene.follow(table)
        assert scene.holder.ready_answer(ReadyCall(A)) == expected
    scene.follow(index())
    assert scene.holder.ready_answer(ReadyCall(A)).status == 404
    assert scene.woken == 0


async def test_a_request_for_which_envoy_had_no_cluster_is_never_held(scene: Scene) -> None:
    scene.follow(HELD)
    assert "is being set up" in scene.holder.turn_away(ModelCall(A)).error
    scene.follow(index())
    assert scene.holder.turn_away(ModelCall(A)).status == 404


async def test_everything_is_given_back_at_the_end(scene: Scene) -> None:
    scene.follow(HELD)
    callers = scene.calls(100)
    scene.holder.let_all_go()
    assert let_go(callers) == 100
    assert let_go(scene.calls(1)) == 1, "nor is anything held from then on"
    assert scene.holder.held(A) == 0


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
async def test_a_clock_that_is_set_ends_no_waiting_and_prolongs_none(scene: Scene, step: float) -> None:
    scene.follow(HELD)
    before, held = scene.call(content_length="9", x_forebay_start=str(NOW))
    scene.clock_set = step
    after, held_after = scene.call(content_length="9", x_forebay_start=str(NOW + step))
    assert (before.error, after.error) == ("waits", "waits")
    assert held is not None
    assert held_after is not None
    assert held.deadline == held_after.deadline


def in_a_surge(scene: Scene) -> None:
    """One replica that answers 100 a second, each in 50 ms when nothing waits: 30 keep it busy, or the least, 32."""
    for number in range(6):
        scene.now += 1
        scene.holder.take_loads({A: Load(in_flight=500 if number > 3 else 5, done=100)})
    assert scene.holder.surging == {A}
    scene.holder.take_reports({A: 20})


async def test_in_a_surge_a_replica_has_as_much_as_keeps_it_busy_and_the_rest_waits_in_order(scene: Scene) -> None:
    scene.follow(ROUTED)
    in_a_surge(scene)
    callers = scene.calls(20)
    async with asyncio.timeout(30):
        await asyncio.gather(*(caller.answered for caller in callers[:10]))
    assert let_go(callers) == 10
    scene.holder.take_reports({A: 25})
    async with asyncio.timeout(30):
        await asyncio.gather(*(caller.answered for caller in callers[:15]))
    assert [caller.error for caller in callers] == [""] * 15 + ["waits"] * 5


async def test_in_a_surge_what_finds_no_place_to_wait_or_waits_too_long_goes_to_a_replica(scene: Scene) -> None:
    scene.follow(index(route("a", (1, 100, 8000), hold=HoldLimits(requests=1, seconds=45))))
    in_a_surge(scene)
    scene.holder.take_reports({A: 100})
    waits, one_more = scene.calls(2)
    assert (waits.error, let_go([one_more])) == ("waits", 1)
    scene.now += 46
    assert await asyncio.wait_for(waits.answered, 30) == LET_GO


async def test_after_a_surge_nothing_is_kept(scene: Scene) -> None:
    scene.follow(ROUTED)
    in_a_surge(scene)
    for _ in range(3):
        scene.now += 1
        scene.holder.take_loads({A: Load(in_flight=1, done=20)})
        scene.holder.take_reports({A: 1})
    assert scene.holder.surging == frozenset()
    async with asyncio.timeout(30):
        while scene.holder.letting_go:  # noqa: ASYNC110 - the holder tells nobody that it forgets
            await asyncio.sleep(0.01)


class LateLoop(asyncio.SelectorEventLoop):
    """A timer is due when it is set, as on a busy machine. uvloop has no timer then, but a handle that does not say when."""

    # Nobody awaits what it gives.
    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]  # noqa: ARG002
        return self.call_soon(callback, *args, context=context)


def test_requests_that_come_while_others_are_about_to_be_let_go_are_let_go_too() -> None:
    async def two_come() -> int:
        scene = Scene()
        scene.follow(ROUTED)
        callers = [scene.call(x_envoy_attempt_count="2")[0] for _ in range(2)]
        while let_go(callers) < len(callers):  # noqa: ASYNC110 - this loop has no timers
            await asyncio.sleep(0)
        return let_go(callers)

    with asyncio.Runner(loop_factory=LateLoop) as runner:
        assert runner.run(two_come()) == 2
