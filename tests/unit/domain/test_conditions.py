from hypothesis import given
from hypothesis import strategies as st

from domain_builders import NOW
from forebay_operator.domain import conditions
from forebay_operator.domain.conditions import Finding
from forebay_operator.domain.status import Condition, ConditionStatus, ConditionType


def a_finding(status: ConditionStatus, message: str = "So.") -> Finding:
    return Finding(ConditionType.READY, status, "So", message)


def merged(before: tuple[Condition, ...], found: Finding, now: float) -> Condition:
    (condition,) = conditions.merge(before, [found], 3, now)
    return condition


def test_a_condition_that_changes_changed_now() -> None:
    first = merged((), a_finding(ConditionStatus.FALSE), NOW)
    assert (first.last_transition, first.observed_generation) == (NOW, 3)
    second = merged((first,), a_finding(ConditionStatus.TRUE), NOW + 5)
    assert second.last_transition == NOW + 5


def test_another_message_is_no_transition() -> None:
    first = merged((), a_finding(ConditionStatus.FALSE), NOW)
    second = merged((first,), a_finding(ConditionStatus.FALSE, "Otherwise."), NOW + 5)
    assert (second.message, second.last_transition) == ("Otherwise.", NOW)


@given(st.lists(st.sampled_from(ConditionStatus), min_size=1, max_size=20))
def test_a_transition_time_is_when_the_present_run_began(statuses: list[ConditionStatus]) -> None:
    found = merged((), a_finding(statuses[0]), 0.0)
    for now, status in enumerate(statuses[1:], start=1):
        found = merged((found,), a_finding(status), float(now))
    run = next((n for n in range(len(statuses), 0, -1) if statuses[n - 1] is not statuses[-1]), 0)
    assert found.last_transition == run
