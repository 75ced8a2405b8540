from dataclasses import replace

import pytest

from domain_builders import DIGITS, GIB, NOW, POOL, a_holding, a_server
from forebay_operator.domain import failures
from forebay_operator.domain.failures import Failures, LoadFailure, ModelFailures, VersionFailures
from forebay_operator.domain.fleet import ReplicaKey, muster
from forebay_operator.domain.snapshot import HoldingPhase, Server

KEY = ReplicaKey("s-1", "digits", 1)
VERSION = (DIGITS, 1)


def failed(at: float | None = NOW, refused_bytes: int | None = None) -> Server:
    holding = a_holding(phase=HoldingPhase.FAILED, reason="needs more", failed_at=at, refused_bytes=refused_bytes)
    return a_server("s-1", holding)


def a_failure(count: int = 1, at: float = NOW, reason: str = "needs more", server: str = "s-1", **fields: int) -> LoadFailure:
    return LoadFailure(count, at, reason, DIGITS, server, POOL, **fields)


@pytest.mark.parametrize(("attempts", "pause"), [(1, 10), (2, 20), (3, 40), (5, 160), (6, 300), (50, 300)])
def test_pauses_double_up_to_five_minutes(attempts: int, pause: float) -> None:
    assert failures.pause_after(attempts) == pause


def test_a_failure_is_counted_once_however_often_it_is_seen() -> None:
    fleet = muster([failed()], {})
    noted = failures.note(failures.note(Failures(), fleet, NOW + 1), fleet, NOW + 2)
    assert noted == Failures({KEY: a_failure()})


def test_the_next_failure_makes_the_pause_longer() -> None:
    noted = failures.note(Failures({KEY: a_failure()}), muster([failed(NOW + 15)], {}), NOW + 16)
    assert noted.here[KEY].count == 2
    assert noted.here[KEY].again_at == NOW + 15 + 20


def test_a_failure_without_a_time_is_from_now() -> None:
    assert failures.note(Failures(), muster([failed(None)], {}), NOW).here[KEY].at == NOW


def test_a_failure_is_remembered_when_the_server_forgets_it() -> None:
    before = Failures({KEY: a_failure()})
    assert failures.note(before, muster([a_server()], {}), NOW) == before


def test_a_failure_is_forgotten_when_the_replica_is_ready() -> None:
    before = Failures({KEY: a_failure()}, {VERSION: a_failure(server="s-0")})
    assert failures.note(before, muster([a_server("s-1", a_holding())], {}), NOW) == Failures()


def test_failures_on_servers_that_are_gone_are_remembered_together() -> None:
    other = ReplicaKey("s-2", "digits", 1)
    before = Failures({KEY: a_failure(2, NOW - 5, refused_bytes=3), other: a_failure(1, NOW, "later", "s-2")})
    noted = failures.note(before, muster([], {}), NOW + 1)
    assert noted == Failures({}, {VERSION: a_failure(3, NOW, "later", "s-2", refused_bytes=3)})
    assert failures.note(noted, muster([], {}), NOW + 3600) == noted


def test_what_failed_on_servers_that_are_gone_is_forgotten_after_long_and_with_its_model() -> None:
    before = Failures({}, {VERSION: a_failure()})
    nothing = muster([], {})
    assert not failures.note(before, nothing, NOW + 24 * 3600)
    assert not failures.note(before, nothing, NOW + 1, is_same=lambda _: False)


def test_what_a_load_was_found_to_need_is_remembered() -> None:
    first = failures.note(Failures(), muster([failed(refused_bytes=17 * GIB)], {}), NOW)
    again = failures.note(first, muster([failed(NOW + 20)], {}), NOW + 20)
    assert again.of(DIGITS).of_version(1).refused_bytes == 17 * GIB


def test_failures_of_one_version_are_told_apart() -> None:
    other = ReplicaKey("s-1", "digits", 2)
    found = ModelFailures({KEY: a_failure(), other: a_failure(2)}, {1: a_failure(server="s-0")})
    assert found.of_version(2) == VersionFailures({"s-1": a_failure(2)})
    assert found.of_version(1).gone == a_failure(server="s-0")
    theirs = Failures({KEY: replace(a_failure(), address=DIGITS._replace(namespace="theirs"))})
    assert not theirs.of(DIGITS)


@pytest.mark.parametrize(
    ("here", "gone", "after_s", "expected"),
    [
        (0, 0, 0, True),
        (1, 0, 0, True),
        (2, 0, 1000, False),
        (0, 1, 9, False),
        (0, 1, 10, True),
        (1, 1, 19, False),
        (1, 1, 20, True),
        (0, 9, 299, False),
        (0, 9, 300, True),
    ],
)
def test_a_second_server_is_started_at_once_and_others_ever_more_rarely(
    here: int, gone: int, after_s: float, expected: bool
) -> None:
    found = VersionFailures({f"s-{n}": a_failure() for n in range(here)}, a_failure(gone) if gone else None)
    assert found.may_open(NOW + after_s, [POOL]) is expected


def test_failures_on_servers_that_a_model_has_left_do_not_keep_it_from_new_ones() -> None:
    found = VersionFailures({f"s-{n}": a_failure() for n in range(2)})
    assert found.may_open(NOW, [replace(POOL, exclusive="digits")])


def test_what_failed_of_a_model_is_forgotten_with_it() -> None:
    before = Failures({KEY: a_failure()})
    assert not failures.note(before, muster([a_server()], {}), NOW, is_same=lambda _: False)
