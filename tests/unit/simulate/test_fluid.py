"""The fluid of requests against single requests, and what it promises of itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay_operator.cli.simulate.figures import quantiles
from forebay_operator.cli.simulate.fluid import STEP_S, Fluid
from forebay_operator.cli.simulate.pace import Pace
from simulate_exact import exact_waits

paces = st.builds(
    Pace,
    base_s=st.sampled_from((0.02, 0.1, 0.3)),
    per_item_s=st.sampled_from((0.0, 0.005, 0.02)),
    largest_batch=st.sampled_from((1, 4, 16)),
    instances=st.sampled_from((1, 2, 4)),
)


def flowed(pace: Pace, replicas: int, per_step: list[int]) -> Fluid:
    fluid = Fluid(pace)
    fluid.add(replicas)
    for number, arrived in enumerate(per_step, start=1):
        fluid.flow(number * STEP_S, float(arrived))
    return fluid


def times(per_step: list[int]) -> list[float]:
    """When single requests come that are as many in each step, spread evenly over it."""
    return [(step + (number + 0.5) / count) * STEP_S for step, count in enumerate(per_step) for number in range(count)]


@settings(max_examples=60, deadline=None)
@given(paces, st.integers(1, 4), st.floats(0.2, 2.5), st.integers(0, 1000))
def test_waits_are_those_of_single_requests_but_for_about_a_batch(pace: Pace, replicas: int, load: float, seed: int) -> None:
    """Load is relative to what the replicas can do: far below, around and far above it."""
    rate = load * replicas * pace.capacity
    steps = int(min(400, 4000 / (rate * STEP_S)))
    per_step = np.random.default_rng(seed).poisson(rate * STEP_S, steps).tolist()
    fluid = flowed(pace, replicas, per_step)
    exact = exact_waits(pace, replicas, times(per_step))

    about = 2.0 * pace.batch_s(pace.largest_batch) + 2.0 * STEP_S
    shares = (0.5, 0.9, 0.99)
    ours = quantiles(np.array(fluid.waits.seconds), np.array(fluid.waits.mass), shares)
    theirs = quantiles(np.array(exact), np.ones(len(exact)), shares)
    for fluid_s, exact_s in zip(ours, theirs, strict=True):
        assert abs(fluid_s - exact_s) <= about + 0.1 * exact_s


@settings(max_examples=100, deadline=None)
@given(paces, st.floats(0.001, 5_000.0), st.floats(0.001, 0.5))
def test_a_replica_loses_in_a_step_what_it_answers_in_it(pace: Pace, inside: float, seconds: float) -> None:
    left = pace.after(inside, seconds)
    assert 0.0 <= left <= inside
    assert left + seconds * pace.rate(left) == pytest.approx(inside, rel=1e-6, abs=1e-9)


@given(paces, st.floats(0.0, 1_000.0), st.floats(0.0, 10.0))
def test_a_replica_with_more_in_it_is_never_slower(pace: Pace, inside: float, more: float) -> None:
    assert pace.rate(inside + more) >= pace.rate(inside) - 1e-9
    assert pace.rate(inside) <= pace.capacity + 1e-9


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-2, 2)), min_size=1, max_size=60))
def test_every_request_is_noted_once_whatever_replicas_come_and_go(course: list[tuple[int, int]]) -> None:
    fluid = Fluid(Pace(0.1), hold_s=1.0)
    for number, (arrived, change) in enumerate(course, start=1):
        if change > 0:
            fluid.add(change)
        fluid.remove(max(0, -change))
        fluid.flow(number * STEP_S, float(arrived))
    assert sum(fluid.waits.mass) + fluid.waits.failed + fluid.held == pytest.approx(sum(arrived for arrived, _ in course))


def test_a_new_replica_takes_what_comes_next_and_nothing_of_the_old_ones_queue() -> None:
    fluid = flowed(Pace(0.1), 1, [100])
    before = fluid.groups[0].inside
    fluid.add(1)
    fluid.flow(2 * STEP_S, 10.0)
    assert [group.replicas for group in fluid.groups] == [1, 1]
    assert fluid.groups[0].inside == pytest.approx(10.0 - STEP_S / 0.1)
    assert fluid.groups[1].inside == pytest.approx(before - STEP_S / 0.1)


def test_requests_are_held_without_a_replica_and_fail_when_the_hold_is_over() -> None:
    fluid = Fluid(Pace(0.1), hold_s=1.0)
    for number in range(1, 61):
        fluid.flow(number * STEP_S, 1.0 if number <= 30 else 0.0)
    assert fluid.held == 0.0 or fluid.held + fluid.waits.failed == 30.0
    fluid.add(1)
    fluid.flow(61 * STEP_S, 0.0)
    assert fluid.waits.failed + sum(fluid.waits.mass) == pytest.approx(30.0)
    assert all(seconds <= 1.0 + 2 * STEP_S + 30 * 0.1 for seconds in fluid.waits.seconds)
