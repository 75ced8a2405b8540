"""Policies on the same load: ours, those of others, and programs."""

import sys
from pathlib import Path

import numpy as np
import pytest

from forebay_operator.api.spec import Autoscaling
from forebay_operator.cli.simulate.clairvoyant import Clairvoyant, least_replica_seconds
from forebay_operator.cli.simulate.course import STEPS_PER_S, Course, Site, run
from forebay_operator.cli.simulate.figures import figures, peak_need
from forebay_operator.cli.simulate.pace import Pace
from forebay_operator.cli.simulate.policies import CommandPolicy, FixedPolicy, ForebayPolicy, Policy, PolicyError
from forebay_operator.cli.simulate.rivals import HorizontalPolicy, KnativePolicy, policy_named
from forebay_operator.cli.simulate.scenario import Plan, spec_with
from forebay_operator.domain.observation import Observation

PACE = Pace(0.1, instances=4)
SITE = Site(pace=PACE, ready_delay_s=30.0, room=20, initial=1)
SPEC = spec_with(Autoscaling(min_replicas=0, max_replicas=20))


def loaded(*parts: tuple[int, float]) -> list[float]:
    """Requests in each step of so many seconds at such a rate, one after the other, by chance."""
    chance = np.random.default_rng(3)
    return [float(count) for seconds, rate in parts for count in chance.poisson(rate / STEPS_PER_S, seconds * STEPS_PER_S)]


def seen(now: float, inside: float, ready: int, starting: int = 0) -> Observation:
    return Observation(
        now=now,
        replicas_ready=ready,
        replicas_starting=starting,
        waiting=0.0,
        executing=inside if ready else 0.0,
        held=0.0 if ready else inside,
        arrivals_per_s=0.0,
        busy_share=0.5,
    )


def asked(policy: Policy, inside: float, ready: int, seconds: int, since: int = 0) -> int:
    wanted = 0
    for now in range(since, since + seconds):
        wanted = policy.wanted(seen(float(now), inside, ready))
    return wanted


@pytest.mark.parametrize("name", ["forebay", "static", "kpa", "hpa", "clairvoyant"])
def test_every_policy_answers_a_step_of_load(name: str) -> None:
    arrivals = np.array(loaded((120, 20.0), (300, 150.0)))
    plan = Plan("step", SITE, SPEC, arrivals)
    found = figures(run(SITE, arrivals.tolist(), policy_named(name, plan)))
    assert found.requests == pytest.approx(arrivals.sum())
    assert found.failed == 0.0
    assert found.replica_hours * 3600.0 >= least_replica_seconds(SITE, arrivals)


def test_a_request_from_zero_waits_no_longer_than_a_replica_takes() -> None:
    site = Site(pace=PACE, ready_delay_s=5.0, room=4)
    arrivals = [0.0] * (10 * STEPS_PER_S) + [1.0] + [0.0] * (20 * STEPS_PER_S - 1)
    course = run(site, arrivals, ForebayPolicy(SPEC, 45.0))
    assert course.waits.seconds[0] <= 5.0 + 0.1


def test_a_start_that_was_seen_keeps_a_replica_that_would_come_too_late() -> None:
    site = Site(pace=PACE, ready_delay_s=90.0, room=4, initial=1)
    idle = [0.0] * (400 * STEPS_PER_S)
    assert run(site, idle, ForebayPolicy(SPEC, 45.0, 90.0)).seconds[-1].wanted == 1
    assert run(site, idle, ForebayPolicy(SPEC, 45.0)).seconds[-1].wanted == 0


def test_what_takes_room_counts_from_its_order_until_it_has_gone() -> None:
    site = Site(pace=PACE, ready_delay_s=5.0, room=3)
    course = run(site, [0.0] * (10 * STEPS_PER_S), FixedPolicy(8))
    assert [second.ready for second in course.seconds] == [0] * 5 + [3] * 5
    assert course.replica_seconds == pytest.approx(9 * 3)


def test_held_requests_are_waited_for_when_the_load_is_over() -> None:
    site = Site(pace=PACE, ready_delay_s=20.0, room=3)
    course = run(site, loaded((5, 10.0)), FixedPolicy(1))
    assert len(course.seconds) == 5
    assert course.waits.failed == 0.0
    assert max(course.waits.seconds) >= 15.0


def test_the_peak_needs_as_many_as_leave_hardly_anybody_late() -> None:
    assert peak_need(SITE, np.array(loaded((60, 30.0), (60, 300.0)))) == 8
    assert peak_need(SITE, np.zeros(100)) == 0


def late(course: Course) -> float:
    return figures(course).late


def test_the_one_that_knows_has_replicas_before_they_are_needed() -> None:
    arrivals = np.array(loaded((100, 20.0), (100, 150.0), (300, 20.0)))
    course = run(SITE, arrivals.tolist(), Clairvoyant(SITE, arrivals))
    assert late(course) <= 0.005
    assert [course.seconds[at].ready for at in (50, 150, 350)] == [1, 4, 1]
    assert course.seconds[80].present == 4


def test_a_load_may_end_within_a_second() -> None:
    arrivals = np.array(loaded((3, 20.0)))[: 2 * STEPS_PER_S + 1]
    assert late(run(SITE, arrivals.tolist(), Clairvoyant(SITE, arrivals))) == 0.0


def test_a_program_that_answers_with_other_than_text_is_named() -> None:
    policy = CommandPolicy("sh -c 'read line; printf \"\\377\\n\"; cat'")
    with pytest.raises(PolicyError, match="no UTF-8"):
        policy.wanted(seen(0.0, 1.0, 1))
    policy.close()


def test_knative_wants_as_many_as_the_stable_window_calls_for() -> None:
    policy = KnativePolicy(target=2.8, least=0, most=50)
    assert asked(policy, inside=5.0, ready=2, seconds=90) == 2
    assert asked(policy, inside=8.0, ready=3, seconds=90, since=90) == 3


def test_knative_panics_on_twice_as_much_and_then_only_adds_for_a_minute() -> None:
    policy = KnativePolicy(target=2.8, least=0, most=50)
    asked(policy, inside=2.0, ready=1, seconds=90)
    assert asked(policy, inside=28.0, ready=1, seconds=7, since=90) == 10
    assert asked(policy, inside=2.0, ready=10, seconds=50, since=97) == 10
    assert asked(policy, inside=2.0, ready=10, seconds=120, since=147) == 5


def test_knative_goes_to_zero_after_the_window_and_the_grace() -> None:
    policy = KnativePolicy(target=2.8, least=0, most=50)
    asked(policy, inside=2.0, ready=1, seconds=60)
    assert asked(policy, inside=0.0, ready=1, seconds=60, since=60) == 1
    assert asked(policy, inside=0.0, ready=1, seconds=33, since=120) == 0
    assert policy.wanted(seen(153.05, 1.0, ready=0)) == 1


def test_the_hpa_keeps_what_is_within_a_tenth_and_doubles_at_most() -> None:
    policy = HorizontalPolicy(target=2.8, least=1, most=100)
    assert asked(policy, inside=2.8 * 10.9, ready=10, seconds=40) == 10
    assert asked(policy, inside=2.8 * 40, ready=10, seconds=1, since=45) == 20


def test_the_hpa_goes_down_to_the_most_of_five_minutes() -> None:
    policy = HorizontalPolicy(target=2.8, least=1, most=100)
    asked(policy, inside=2.8 * 10, ready=10, seconds=60)
    assert asked(policy, inside=2.8 * 2, ready=10, seconds=280, since=60) == 10
    assert asked(policy, inside=2.8 * 2, ready=10, seconds=60, since=340) == 2


def test_a_program_decides_as_ours_does_where_it_is_ours() -> None:
    site = Site(pace=PACE, ready_delay_s=5.0, room=20, initial=1)
    arrivals = loaded((20, 20.0), (60, 150.0))
    command = f"{sys.executable} -m forebay_operator.cli.autoscaler --stdio --max-replicas 20"
    theirs = CommandPolicy(command)
    try:
        course = run(site, arrivals, theirs)
    finally:
        theirs.close()
    ours = run(site, arrivals, ForebayPolicy(SPEC, 45.0))
    assert [second.wanted for second in course.seconds] == [second.wanted for second in ours.seconds]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pass", "before the simulation did"),
        ("input(); print('later', flush=True); input()", "answered 'later'"),
        ("input(); print('{\"replicas\": true}', flush=True); input()", "a line like"),
        ("input(); print('{\"replicas\": -1}', flush=True); input()", "a line like"),
    ],
)
def test_a_program_that_does_not_answer_is_named(tmp_path: Path, body: str, said: str) -> None:
    program = tmp_path / "policy.py"
    program.write_text(body)
    policy = CommandPolicy(f"{sys.executable} {program}")
    try:
        with pytest.raises(PolicyError, match=said):
            policy.wanted(seen(0.0, 1.0, 1))
    finally:
        policy.close()


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(PolicyError, match="no-such-program"):
        CommandPolicy("no-such-program --fast")
