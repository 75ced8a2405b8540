from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain_builders import NOW
from domain_load import LoadedModel
from forebay_operator.domain import autoscaling
from forebay_operator.domain.autoscaling import Decision, Observation, ScalingMemory
from forebay_operator.domain.deployment import Autoscaling
from forebay_operator.domain.ready_times import ReadyTimes
from forebay_operator.domain.throughput import Throughput

POLICY = Autoscaling()


def seen(now: float = 0.0, **fields: float | None) -> Observation:
    quiet = Observation(
        now=NOW + now,
        replicas_ready=1,
        replicas_starting=0,
        waiting=0.0,
        executing=0.0,
        held=0.0,
        arrivals_per_s=0.0,
        busy_share=0.0,
    )
    return replace(quiet, **fields)  # type: ignore[arg-type]  # fields of the observation, by name


def after(policy: Autoscaling, *looks: Observation, present: int | None = None) -> Decision:
    """The decision after these observations."""
    memory = ScalingMemory()
    decision = None
    for look in looks:
        decision = autoscaling.decide(policy, memory, look, present=present)
        memory = decision.memory
    assert decision is not None
    return decision


def every_second(seconds: int, **fields: float | None) -> list[Observation]:
    return [seen(float(second), **fields) for second in range(seconds + 1)]


# Up.


def test_a_held_request_wakes_a_model_at_zero_at_once() -> None:
    found = after(POLICY, seen(replicas_ready=0, held=1.0))
    assert found.replicas == 1
    assert found.reason == ("1 request held and no replica; 1 waiting call for 1 while it is not known what a replica can do.")


def test_an_arrival_wakes_a_model_at_zero_even_if_it_was_gone_before_it_was_seen() -> None:
    assert after(POLICY, seen(replicas_ready=0, arrivals_per_s=2.0)).replicas == 1


def test_a_model_at_zero_of_which_nothing_is_asked_stays_there() -> None:
    found = after(POLICY, *every_second(100, replicas_ready=0))
    assert (found.replicas, found.reason) == (0, "Nothing is asked of it.")


def test_a_queue_above_target_calls_for_what_the_arrivals_need() -> None:
    calm = every_second(10, arrivals_per_s=8.0, busy_share=0.8)
    crowd = [seen(float(n), waiting=6.0 * (n - 10), arrivals_per_s=16.0, busy_share=1.0) for n in range(11, 15)]
    found = after(POLICY, *calm, *crowd)
    assert 2 <= found.replicas <= 3
    assert "above the target of 4" in found.reason or "past the target of 4" in found.reason
    assert "a replica need" in found.reason


def test_what_waits_at_a_busy_replica_calls_for_no_more_than_arrivals_need() -> None:
    bound = [seen(float(n), waiting=500.0 - 8 * n, arrivals_per_s=2.0, busy_share=1.0) for n in range(12)]
    assert after(POLICY, *bound).replicas == 1


def test_no_more_than_the_limit_and_the_reason_says_so() -> None:
    policy = Autoscaling(max_replicas=2)
    found = after(policy, *[seen(float(n), waiting=50.0 * n, arrivals_per_s=60.0, busy_share=1.0) for n in range(10)])
    assert found.replicas == 2
    assert found.reason.endswith("maxReplicas 2 is the limit.")


def test_a_raised_minimum_counts_at_once() -> None:
    found = after(Autoscaling(min_replicas=3), seen())
    assert found.replicas == 3


def test_a_lowered_maximum_counts_at_once() -> None:
    first = after(POLICY, seen(replicas_ready=5))
    found = autoscaling.decide(Autoscaling(max_replicas=2), first.memory, seen(1.0, replicas_ready=5))
    assert found.replicas == 2


def test_more_than_large_batches_seemed_to_do_is_believed_when_small_ones_do_it() -> None:
    """A server that stalls teaches that it can do little. One that is half busy with 4 a second then disproves it."""
    memory = ScalingMemory(
        throughput=Throughput(9.2, 3.6), ready_times=ReadyTimes(learned=1.0), wanted=1, needs=((NOW, 1),), active_at=NOW
    )
    for look in every_second(30, arrivals_per_s=4.0, busy_share=0.43, executing=0.4):
        memory = autoscaling.decide(POLICY, memory, look).memory
    assert memory.wanted == 1


# Unknown signals.


@pytest.mark.parametrize("signal", ["waiting", "executing", "held", "arrivals_per_s", "busy_share"])
def test_an_unknown_signal_holds_the_present_count_and_says_so(signal: str) -> None:
    found = after(POLICY, *every_second(600, replicas_ready=3, **{signal: None}))
    assert found.replicas == 3
    assert found.reason.startswith("Holds 3. Not known: ")
    assert found.unknown.startswith("Not known: ")


def test_a_queue_calls_for_more_even_if_the_busy_share_is_unknown() -> None:
    found = after(POLICY, *every_second(8, waiting=100.0, arrivals_per_s=50.0, busy_share=None))
    assert found.replicas > 1


def test_held_requests_wake_even_if_all_else_is_unknown() -> None:
    look = seen(replicas_ready=0, held=1.0, waiting=None, executing=None, arrivals_per_s=None, busy_share=None)
    assert after(POLICY, look).replicas == 1


# Down.


def test_fewer_are_kept_only_after_the_delay() -> None:
    early = after(POLICY, *every_second(59, replicas_ready=4, arrivals_per_s=1.0, busy_share=0.1, executing=1.0))
    assert early.replicas == 4
    late = after(POLICY, *every_second(60, replicas_ready=4, arrivals_per_s=1.0, busy_share=0.1, executing=1.0))
    assert late.replicas == 1
    assert late.reason == (
        "0.0 waiting per replica, 0.4 of 4 busy: no more than 1 called for in 60 s, so that they are at most 75% busy."
    )


def test_busy_replicas_are_kept_however_empty_the_queue_is() -> None:
    found = after(POLICY, *every_second(300, replicas_ready=4, arrivals_per_s=30.0, busy_share=0.9, executing=4.0))
    assert found.replicas == 4


def test_a_shorter_delay_shortens_the_window_that_is_looked_at() -> None:
    policy = Autoscaling(scale_down_delay_s=3.0, idle_timeout_s=1000.0)
    busy = every_second(20, replicas_ready=4, arrivals_per_s=30.0, busy_share=0.9, executing=4.0)
    idle = [seen(20.0 + n, replicas_ready=4) for n in range(1, 8)]
    assert after(policy, *busy, *idle).replicas == 1


def test_the_delay_grows_with_the_time_that_replicas_take() -> None:
    slow = [seen(0.0, arrivals_per_s=1.0), seen(1.0, replicas_starting=3, arrivals_per_s=1.0)]
    ready = [seen(201.0 + n, replicas_ready=4, arrivals_per_s=1.0, busy_share=0.1) for n in range(90)]
    memory = after(POLICY, *slow, present=4).memory
    for look in ready:
        decision = autoscaling.decide(POLICY, memory, look)
        memory = decision.memory
    assert memory.ready_times.learned == 200.0
    assert memory.wanted == 4


def missed(later_s: float, *, ready_time_s: float | None = None) -> Decision:
    """Four replicas go to one as soon as they may, and more are called for so many seconds later."""
    memory = ScalingMemory(throughput=Throughput(20.0, None), ready_times=ReadyTimes(learned=ready_time_s))
    now = 0.0
    while memory.wanted != 1:
        now += 1.0
        look = seen(now, replicas_ready=4, arrivals_per_s=5.0, busy_share=0.06, executing=0.2)
        memory = autoscaling.decide(POLICY, memory, look, present=4).memory
    for second in range(4):
        look = seen(now + later_s - 4.0 + second, arrivals_per_s=5.0, busy_share=0.25, executing=0.2)
        memory = autoscaling.decide(POLICY, memory, look).memory
    return autoscaling.decide(POLICY, memory, seen(now + later_s, waiting=60.0, arrivals_per_s=60.0, busy_share=1.0))


def test_what_was_missed_soon_after_it_was_let_go_is_kept_twice_as_long_the_next_time() -> None:
    found = missed(5.0)
    assert found.replicas > 1
    assert found.memory.kept_s == 120.0


@pytest.mark.parametrize(("delays", "is_remembered"), [(9.9, True), (10.1, False)])
def test_what_was_let_go_is_missed_if_it_is_called_for_within_ten_delays(delays: float, *, is_remembered: bool) -> None:
    found = missed(60.0 * delays)
    assert found.replicas > 1
    assert (found.memory.kept_s > 0.0) is is_remembered


def test_what_takes_long_to_get_ready_is_kept_through_a_gap_like_the_one_in_which_it_was_missed() -> None:
    """Waiting 120 s for it again costs more than keeping it for another ten minutes: it is not learned step by step."""
    gap_s = 180.0 + 420.0
    kept_s = missed(420.0, ready_time_s=120.0).memory.kept_s
    assert gap_s < kept_s <= 1.3 * gap_s


def test_what_gets_ready_soon_is_not_kept_through_a_long_gap() -> None:
    assert missed(420.0, ready_time_s=10.0).memory.kept_s == 120.0


def test_waking_up_from_zero_says_nothing_of_how_long_replicas_should_be_kept() -> None:
    policy = Autoscaling(idle_timeout_s=70.0)
    idle = after(policy, *every_second(75, replicas_ready=2))
    assert idle.replicas == 0
    woken = [seen(80.0 + n, replicas_ready=0, held=40.0 * (n + 1), arrivals_per_s=40.0) for n in range(5)]
    memory, numbers = idle.memory, list[int]()
    for look in woken:
        decision = autoscaling.decide(policy, memory, look)
        memory, numbers = decision.memory, [*numbers, decision.replicas]
    assert numbers[-1] > numbers[0] > 0
    assert memory.kept_s == 0.0


def test_a_queue_that_waits_at_one_replica_holds_no_others() -> None:
    """It cannot move: all were kept until the one that a crowd had found alone was through with its queue, after an hour."""
    crowd = every_second(100, replicas_ready=8, waiting=4000.0, arrivals_per_s=20.0, busy_share=2 / 8)
    assert after(POLICY, *crowd).replicas <= 3
    busy = every_second(100, replicas_ready=8, waiting=4000.0, arrivals_per_s=20.0, busy_share=7 / 8)
    assert after(POLICY, *busy).replicas == 8


def test_what_is_held_while_replicas_get_ready_calls_for_no_more_than_they_answer_in_that_time() -> None:
    """Each second of waiting ordered more, which came when those that had been ordered first were nearly through with it."""
    memory = ScalingMemory(
        throughput=Throughput(40.0, 40.0), ready_times=ReadyTimes(learned=30.0), wanted=5, needs=((NOW, 5),), active_at=NOW
    )
    for n in range(1, 30):
        look = seen(float(n), replicas_ready=0, replicas_starting=5, held=100.0 * n, arrivals_per_s=100.0)
        memory = autoscaling.decide(Autoscaling(max_replicas=100), memory, look).memory
    assert memory.wanted is not None
    assert 5 <= memory.wanted <= 4 + 3


def test_losing_the_memory_scales_nothing_down_at_once() -> None:
    found = after(POLICY, *every_second(30, replicas_ready=2, replicas_starting=1))
    assert found.replicas == 3
    assert after(POLICY, seen(replicas_ready=2), present=5).replicas == 5


# To zero.


def test_an_idle_model_goes_to_zero_after_the_timeout() -> None:
    assert after(POLICY, *every_second(299)).replicas == 1
    found = after(POLICY, *every_second(300))
    assert (found.replicas, found.reason) == (0, "Idle for 5 min, idleTimeout is 5 min.")


@pytest.mark.parametrize("signal", ["waiting", "executing", "held", "arrivals_per_s"])
def test_anything_that_is_asked_of_it_keeps_a_model(signal: str) -> None:
    looks = every_second(299)
    looks[200] = replace(looks[200], **{signal: 1.0})  # type: ignore[arg-type]  # a field of the observation, by name
    assert after(POLICY, *looks, *[seen(300.0 + n) for n in range(150)]).replicas == 1


def test_a_minimum_keeps_an_idle_model() -> None:
    assert after(Autoscaling(min_replicas=1), *every_second(400)).replicas == 1


def test_a_model_that_wakes_too_slowly_is_kept_and_the_reason_says_why() -> None:
    slow = [seen(0.0, replicas_ready=0), seen(1.0, replicas_ready=0, replicas_starting=1, held=1.0)]
    memory = after(POLICY, *slow).memory
    decision = None
    for n in range(91, 500):
        decision = autoscaling.decide(POLICY, memory, seen(float(n)), hold_seconds=45.0)
        memory = decision.memory
    assert decision is not None
    assert decision.replicas == 1
    assert decision.reason == "Holds 1 though idle: getting ready takes 90 s, and requests wait at most 45 s."


# Loads in virtual time.


def loaded(rate: float, policy: Autoscaling = POLICY) -> LoadedModel:
    return LoadedModel(policy, lambda _: rate)


@given(st.floats(0.2, 60), st.sampled_from([0.05, 0.1, 0.25]), st.sampled_from([2.0, 10.0]))
@settings(max_examples=12, deadline=None)
def test_a_constant_load_finds_its_number_and_stays(rate: float, service_s: float, ready_time_s: float) -> None:
    offered = rate * service_s
    model = loaded(rate, Autoscaling(max_replicas=30))
    model.service_s, model.ready_time_s, model.tick_s = service_s, ready_time_s, 0.025
    model.run(330.0)
    assert not model.changes(after=220.0)
    assert model.wanted_at(330.0) >= offered
    assert model.wanted_at(330.0) <= offered / 0.75 + 2


@pytest.mark.parametrize("rate", [7.4, 7.5, 7.6, 8.0, 15.0, 16.0, 22.5])
def test_a_constant_load_at_the_edge_of_what_replicas_can_do_does_not_flap(rate: float) -> None:
    model = loaded(rate).run(450.0)
    assert len(model.changes(after=150.0)) <= 1


@pytest.mark.parametrize("rate", [7.5, 15.0])
def test_random_arrivals_at_the_edge_cause_few_changes(rate: float) -> None:
    model = LoadedModel(POLICY, lambda _: rate, seed=3).run(600.0)
    assert len(model.changes(after=150.0)) <= 2


@pytest.mark.parametrize("rate", [60.0, 140.0])
def test_replicas_that_batch_do_not_flap(rate: float) -> None:
    model = loaded(rate)
    model.service_s, model.per_item_s, model.max_batch = 0.02, 0.005, 32
    assert len(model.run(300.0).changes(after=150.0)) <= 1


def test_replicas_that_batch_go_when_the_load_falls_though_each_is_busy_all_the_time() -> None:
    """With little to do their batches are small: the busy share says nothing of what they could do."""
    policy = Autoscaling(max_replicas=20, scale_down_delay_s=20.0)
    model = LoadedModel(policy, lambda now: 80.0 if now < 90 else 15.0, service_s=0.2, per_item_s=0.02, max_batch=16)
    model.ready_time_s = 2.0
    model.run(180.0)
    assert model.wanted_at(89.0) >= 3
    assert model.steps[-1].seen.busy_share == pytest.approx(1.0, abs=0.05)
    assert model.wanted_at(179.0) == 1


def step_up(low: float, high: float) -> Callable[[float], float]:
    return lambda now: low if now < 60 else high


def test_a_step_to_five_times_the_load_is_met_within_seconds_not_one_by_one() -> None:
    model = LoadedModel(Autoscaling(max_replicas=20), step_up(8.0, 40.0), seed=1, ready_time_s=5.0).run(120.0)
    enough = next(step.at for step in model.steps if step.at > 60 and step.decision.replicas * 10.0 >= 40.0)
    assert enough <= 66.0
    assert model.wanted_at(119.0) <= 8


def test_after_a_peak_a_demo_is_back_at_zero_within_fifteen_seconds() -> None:
    policy = Autoscaling(max_replicas=4, scale_down_delay_s=3.0, idle_timeout_s=5.0)
    model = LoadedModel(policy, lambda now: 200.0 if 5 <= now < 35 else 0.0, service_s=0.02, per_item_s=0.005, max_batch=32)
    model.ready_time_s = 2.0
    model.run(60.0)
    assert max(step.decision.replicas for step in model.steps) >= 2
    assert model.wanted_at(50.0) == 0
    assert len(model.latencies) == 200 * 30


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6),
            st.integers(0, 3),
            *[st.one_of(st.none(), st.floats(0, 200)) for _ in range(4)],
            st.one_of(st.none(), st.floats(0, 1)),
        ),
        max_size=30,
    ),
    st.integers(0, 3),
    st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_whatever_is_seen_the_number_stays_within_its_limits_and_has_a_reason(
    looks: list[tuple[int, int, float | None, float | None, float | None, float | None, float | None]], least: int, more: int
) -> None:
    policy = Autoscaling(min_replicas=least, max_replicas=max(1, least + more))
    memory = ScalingMemory()
    for number, look in enumerate(looks):
        observation = _observation(NOW + number, look)
        decision = autoscaling.decide(policy, memory, observation)
        memory = decision.memory
        assert policy.min_replicas <= decision.replicas <= policy.max_replicas
        assert decision.reason.endswith(".")


def _observation(
    now: float, look: tuple[int, int, float | None, float | None, float | None, float | None, float | None]
) -> Observation:
    ready, starting, waiting, executing, held, arrivals, busy = look
    return Observation(
        now=now,
        replicas_ready=ready,
        replicas_starting=starting,
        waiting=waiting,
        executing=executing,
        held=held,
        arrivals_per_s=arrivals,
        busy_share=busy,
    )
