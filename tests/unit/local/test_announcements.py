from dataclasses import replace

from forebay_operator.domain.status import (
    Condition,
    ConditionStatus,
    ConditionType,
    DeploymentStatus,
    ScalingDecision,
    ScalingStatus,
)
from forebay_operator.worlds.local.announcements import announcements


def a_status(summary: str = "Ready.", ready: ConditionStatus = ConditionStatus.TRUE, replicas: int = 1) -> DeploymentStatus:
    condition = Condition(
        type=ConditionType.READY, status=ready, reason="Why", message="", observed_generation=1, last_transition=0.0
    )
    return DeploymentStatus(
        observed_generation=1,
        revision=1,
        replicas=replicas,
        ready_replicas=replicas,
        selector="",
        summary=summary,
        conditions=(condition,),
    )


def test_the_first_status_is_told() -> None:
    assert announcements(None, a_status("Being converted.")) == ["Being converted."]


def test_live_figures_alone_are_not_told() -> None:
    assert announcements(a_status("Ready, queue 1.0."), a_status("Ready, queue 2.0.")) == []


def test_progress_towards_ready_is_told() -> None:
    before = a_status("Converting (fetched).", ConditionStatus.FALSE)

    assert announcements(before, a_status("Converting (verifying).", ConditionStatus.FALSE)) == ["Converting (verifying)."]


def test_a_change_of_replicas_is_told_after_the_decision_that_made_it() -> None:
    before, after = a_status(), a_status("Ready: 2 of 2.", replicas=2)
    decision = ScalingDecision(time=1.0, from_replicas=1, to_replicas=2, reason="5 wait, 4 may")
    decided = ScalingStatus(wanted=2, queue_depth=5.0, decisions=(decision,))

    told = announcements(before, replace(after, scaling=decided))

    assert told == ["1 → 2 replicas: 5 wait, 4 may", "Ready: 2 of 2."]
