"""What a request counts as."""

import pytest

from chaos_ledger import (
    ALLOWED,
    LATE_S,
    TOLD_WITHIN_S,
    Cause,
    Failure,
    Fate,
    Kill,
    Ledger,
    Timeline,
    judge,
    unexplained_refusals,
)
from chaos_load import factor_of
from chaos_plan import Target


def a_timeline() -> Timeline:
    timeline = Timeline()
    timeline.asked(1001, 0.0)
    return timeline


def a_kill(target: Target = Target.SERVER) -> Kill:
    return Kill(f"kill-{target}", target, began=10.0, gone=10.5, models=frozenset({"m"}))


def a_failure(sent: float, failed: float, cause: Cause = Cause.UNAVAILABLE, model: str = "m") -> Failure:
    return Failure(model, "HTTP", sent, failed, cause, "")


def fate(failure: Failure, *kills: Kill, timeline: Timeline | None = None) -> Fate:
    (judged,) = judge([failure], kills, {failure.model: timeline or a_timeline()})
    return judged.fate


def test_a_request_in_a_killed_process_may_fail() -> None:
    assert fate(a_failure(9.9, 10.2), a_kill()) is Fate.IN_FLIGHT


def test_one_written_before_the_end_was_noticed_is_counted_apart() -> None:
    assert fate(a_failure(10.6, 10.7), a_kill()) is Fate.LATE


@pytest.mark.parametrize(
    "failure",
    [
        a_failure(9.0, 9.9),
        a_failure(10.6 + LATE_S, 11.9),
        a_failure(9.9, 10.6 + TOLD_WITHIN_S),
        a_failure(9.9, 10.2, Cause.TIMEOUT),
        a_failure(9.9, 10.2, Cause.UNKNOWN),
        a_failure(9.9, 10.2, Cause.BROKEN),
        a_failure(9.9, 10.2, model="elsewhere"),
    ],
    ids=["answered before", "sent after", "hung", "timed out", "404", "a server's clients keep their connection", "not on it"],
)
def test_anything_else_is_lost(failure: Failure) -> None:
    assert fate(failure, a_kill()) is Fate.LOST
    assert fate(failure) is Fate.LOST


@pytest.mark.parametrize("target", list(Target))
def test_no_kill_explains_a_time_out(target: Target) -> None:
    assert Cause.TIMEOUT not in ALLOWED[target]


def test_a_deleted_model_may_be_unknown_until_it_serves_again_but_never_hang() -> None:
    timeline = a_timeline()
    timeline.is_away(5.0)
    assert fate(a_failure(6.0, 6.1, Cause.UNKNOWN), timeline=timeline) is Fate.DELETED
    assert fate(a_failure(6.0, 66.0, Cause.TIMEOUT), timeline=timeline) is Fate.LOST

    timeline.serves_newest(8.0)
    assert fate(a_failure(8.1, 8.2, Cause.UNKNOWN), timeline=timeline) is Fate.LOST


def test_an_older_revision_may_answer_what_was_sent_before_the_newer_one_served() -> None:
    timeline = a_timeline()
    timeline.asked(1002, 5.0)
    assert timeline.may_answer(1001, 6.0, 6.1)
    assert timeline.may_answer(1002, 6.0, 6.1)
    assert not timeline.may_answer(1002, 4.0, 4.9), "nobody had asked for it"

    timeline.serves_newest(7.0)
    assert timeline.may_answer(1001, 6.9, 7.5)
    assert not timeline.may_answer(1001, 7.1, 7.5)
    assert timeline.may_answer(1002, 7.1, 7.5)


def test_an_answer_by_another_factor_is_wrong_and_not_counted_as_right() -> None:
    ledger = Ledger({"m": a_timeline()})
    ledger.answered("m", "HTTP", 1001.0, 1.0, 1.1)
    ledger.answered("m", "HTTP", 2001.0, 1.0, 1.1)
    ledger.answered("m", "HTTP", float("nan"), 1.0, 1.1)
    assert ledger.right["HTTP"] == 1
    assert len(ledger.wrong) == 2


def test_the_factor_of_an_answer_is_that_of_each_of_its_numbers() -> None:
    assert factor_of([1.0, 2.0], [3.0, 6.0]) == 3.0
    for answer in ([3.0, 6.5], [3.0], []):
        assert factor_of([1.0, 2.0], answer) != factor_of([1.0, 2.0], answer), answer


def test_refusals_are_explained_only_by_what_listens_being_away() -> None:
    assert unexplained_refusals([(1.0, 1.5), (3.0, 3.1)], [(0.9, 2.0)]) == 1


def test_what_is_ended_with_patience_may_lose_nothing_before_that_is_over() -> None:
    ended = Kill("end-controller", Target.CONTROLLER, began=10.0, gone=45.0, models=frozenset({"m"}), patience_s=30.0)
    early, late = (Failure("m", "HTTP", sent=9.0, failed=failed, cause=Cause.BROKEN, text="") for failed in (12.0, 41.0))
    fates = [each.fate for each in judge([early, late], [ended], {"m": Timeline()})]
    assert fates == [Fate.LOST, Fate.IN_FLIGHT]
