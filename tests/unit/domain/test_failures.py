import pytest

from domain_builders import NOW, a_holding, a_server
from forebay_operator.domain import failures
from forebay_operator.domain.failures import LoadFailure
from forebay_operator.domain.fleet import ReplicaKey, muster
from forebay_operator.domain.snapshot import HoldingPhase, Server

KEY = ReplicaKey("s-1", "digits", 1)


def failed(at: float | None = NOW) -> Server:
    return a_server("s-1", a_holding(phase=HoldingPhase.FAILED, reason="needs more", failed_at=at))


@pytest.mark.parametrize(("attempts", "pause"), [(1, 10), (2, 20), (3, 40), (5, 160), (6, 300), (50, 300)])
def test_pauses_double_up_to_five_minutes(attempts: int, pause: float) -> None:
    assert failures.pause_after(attempts) == pause


def test_a_failure_is_counted_once_however_often_it_is_seen() -> None:
    fleet = muster([failed()], {})
    noted = failures.note(failures.note({}, fleet, NOW + 1), fleet, NOW + 2)
    assert noted == {KEY: LoadFailure(1, NOW, "needs more")}


def test_the_next_failure_makes_the_pause_longer() -> None:
    noted = failures.note({KEY: LoadFailure(1, NOW, "")}, muster([failed(NOW + 15)], {}), NOW + 16)
    assert noted[KEY].count == 2
    assert noted[KEY].again_at == NOW + 15 + 20


def test_a_failure_without_a_time_is_from_now() -> None:
    assert failures.note({}, muster([failed(None)], {}), NOW)[KEY].at == NOW


def test_a_failure_is_remembered_when_the_server_forgets_it() -> None:
    before = {KEY: LoadFailure(1, NOW, "")}
    assert failures.note(before, muster([a_server()], {}), NOW) == before


def test_a_failure_is_forgotten_when_the_replica_is_ready_or_the_server_gone() -> None:
    before = {KEY: LoadFailure(1, NOW, "")}
    assert failures.note(before, muster([a_server("s-1", a_holding())], {}), NOW) == {}
    assert failures.note(before, muster([], {}), NOW) == {}


def test_failures_of_one_version_are_told_by_server() -> None:
    other = ReplicaKey("s-1", "digits", 2)
    found = failures.of_version({KEY: LoadFailure(1, NOW, "a"), other: LoadFailure(2, NOW, "b")}.items(), 2)
    assert found == {"s-1": LoadFailure(2, NOW, "b")}
