from dataclasses import replace

from domain_builders import NOW, a_spec
from forebay_operator.domain import scaling
from forebay_operator.domain.deployment import Autoscaling, DeploymentSpec
from forebay_operator.domain.observation import Observation
from forebay_operator.domain.scaling import Scaling

SCALED = a_spec(autoscaling=Autoscaling())


def seen(now: float = 0.0, **fields: float | None) -> Observation:
    quiet = Observation(
        now=NOW + now,
        replicas_ready=0,
        replicas_starting=0,
        waiting=0.0,
        executing=0.0,
        held=0.0,
        arrivals_per_s=0.0,
        busy_share=0.0,
    )
    return replace(quiet, **fields)  # type: ignore[arg-type]  # fields of the observation, by name


def scaled(spec: DeploymentSpec, before: Scaling | None, look: Observation, present: int | None = None) -> Scaling:
    return scaling.scale(spec, before, look, present=present, hold_seconds=45.0)


def test_a_fixed_number_is_what_the_spec_says() -> None:
    found = scaled(a_spec(replicas=3), None, seen())
    assert (found.wanted, found.reason) == (3, "spec.replicas is 3.")


def test_a_model_that_is_stopped_wants_none_whatever_its_load() -> None:
    assert scaled(replace(SCALED, stopped=True), None, seen(held=9.0)).wanted == 0


def test_decisions_are_made_about_once_a_second() -> None:
    first = scaled(SCALED, None, seen(), present=2)
    soon = scaled(SCALED, first, seen(0.4, waiting=7.0))
    assert (soon.at, soon.wanted, soon.waiting) == (NOW, 2, 7.0)
    assert scaled(SCALED, first, seen(1.0)).at == NOW + 1.0


def test_a_request_for_a_model_at_zero_does_not_wait_for_the_second() -> None:
    first = scaled(SCALED, None, seen())
    assert scaled(SCALED, first, seen(0.1, held=1.0)).wanted == 1


def test_new_limits_do_not_wait_for_the_second() -> None:
    first = scaled(SCALED, None, seen())
    raised = replace(SCALED, autoscaling=Autoscaling(min_replicas=2))
    assert scaled(raised, first, seen(0.1)).wanted == 2


def test_without_a_memory_the_number_that_was_wanted_counts() -> None:
    assert scaled(SCALED, None, seen(), present=4).wanted == 4


def test_a_missing_signal_is_said_when_it_stays_missing() -> None:
    before = scaled(SCALED, None, seen(arrivals_per_s=None))
    assert before.unknown == ""
    for second in range(1, 12):
        before = scaled(SCALED, before, seen(float(second), arrivals_per_s=None))
        assert bool(before.unknown) == (second >= 10)
    assert scaled(SCALED, before, seen(12.0)).unknown == ""


def test_a_quiet_decision_says_how_long_it_stands() -> None:
    at_zero = scaled(SCALED, None, seen())
    assert at_zero.same_until == float("inf")
    idle = scaled(SCALED, None, seen(replicas_ready=1), present=1)
    assert idle.same_until == NOW + 300.0
    assert scaled(SCALED, None, seen(replicas_ready=1, waiting=1.0)).same_until == NOW
