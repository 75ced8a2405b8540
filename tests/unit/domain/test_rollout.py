from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_builders import POOL, SIMULATED, a_replica
from forebay_operator.domain import rollout
from forebay_operator.domain.fleet import Replica, ReplicaStage
from forebay_operator.domain.rollout import Course, Rollout, Standing
from forebay_operator.domain.snapshot import Pool

ELSEWHERE = Pool("default", SIMULATED, exclusive="digits")
READY, LOADING, FAILED = ReplicaStage.READY, ReplicaStage.LOADING, ReplicaStage.FAILED


def standing(*replicas: Replica, **fields: object) -> Standing:
    made = Standing(
        wanted=1,
        target=2,
        target_is_loadable=True,
        target_has_failed=False,
        older=1,
        serving=1,
        replicas=replicas,
        pools=(POOL,),
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of the standing, by name


def old(*names: str, stage: ReplicaStage = READY) -> list[Replica]:
    return [a_replica(name, 1, stage) for name in names]


def new(*names: str, stage: ReplicaStage = READY, pool: Pool = POOL) -> list[Replica]:
    return [a_replica(name, 2, stage, pool=pool) for name in names]


def advanced(*replicas: Replica, **fields: object) -> Rollout:
    return rollout.advance(standing(*replicas, **fields))


def servers(replicas: tuple[Replica, ...]) -> list[str]:
    return [replica.server.name for replica in replicas]


def test_when_none_is_wanted_all_go() -> None:
    assert advanced(*old("a"), *new("b"), wanted=0) == Rollout(course=Course.IDLE)


def test_before_it_is_converted_the_older_one_is_kept_at_size() -> None:
    found = advanced(*old("a"), target_is_loadable=False, wanted=2)
    assert (found.course, found.serving, found.target_replicas, found.older_replicas) == (Course.PREPARING, 1, 0, 2)


def test_before_it_is_converted_and_without_an_older_one_nothing_is_loaded() -> None:
    assert advanced(target_is_loadable=False, older=None) == Rollout(course=Course.PREPARING)


def test_while_the_new_one_is_loaded_the_old_ones_serve() -> None:
    found = advanced(*old("a"), *new("b", stage=LOADING))
    assert (found.course, found.serving, found.target_replicas) == (Course.MOVING, 1, 1)
    assert servers(found.retained) == ["a"]


@pytest.mark.parametrize(
    ("wanted", "olds", "news", "serving"),
    [
        (1, 1, 0, 1),
        (1, 1, 1, 2),
        (3, 3, 1, 1),
        (3, 3, 2, 1),
        (3, 3, 3, 2),
        (3, 1, 1, 2),
        (2, 3, 2, 2),
        (4, 2, 2, 2),
    ],
)
def test_traffic_moves_when_as_many_are_ready_as_are_wanted_or_served_before(
    wanted: int, olds: int, news: int, serving: int
) -> None:
    found = advanced(*old(*(f"o{n}" for n in range(olds))), *new(*(f"n{n}" for n in range(news))), wanted=wanted)
    assert found.serving == serving


def test_after_traffic_has_moved_it_stays_as_long_as_any_new_one_is_ready() -> None:
    assert advanced(*old("a", "b"), *new("c"), wanted=2, serving=2).serving == 2
    assert advanced(*old("a", "b"), *new("c", stage=LOADING), wanted=2, serving=2).serving == 1


def test_a_failed_load_leaves_the_old_ones_in_place_and_is_tried_beside_them() -> None:
    found = advanced(*old("a"), *new("b", stage=FAILED), target_has_failed=True)
    assert (found.course, found.serving) == (Course.FALLEN_BACK, 1)
    assert (found.target_replicas, found.older_replicas, found.swappable) == (1, 1, ())


def test_a_failed_first_load_has_nothing_to_fall_back_to() -> None:
    found = advanced(*new("b", stage=FAILED), target_has_failed=True, older=None)
    assert (found.course, found.serving, found.target_replicas) == (Course.STEADY, 0, 1)


def test_after_a_failed_swap_the_old_one_is_loaded_again() -> None:
    found = advanced(*new("a", stage=FAILED), target_has_failed=True)
    assert (found.serving, found.older_replicas) == (0, 1)


def test_old_ones_may_be_swapped_only_until_enough_new_ones_are_coming() -> None:
    assert servers(advanced(*old("a")).swappable) == ["a"]
    assert not advanced(*old("a"), *new("b", stage=LOADING)).swappable
    assert servers(advanced(*old("a", "b"), *new("c", stage=LOADING), wanted=2).swappable) == ["a", "b"]


def test_a_replica_in_the_wrong_pool_serves_until_one_in_the_right_pool_does() -> None:
    wrong = new("a", pool=ELSEWHERE)
    moving = advanced(*wrong, serving=2)
    assert (moving.course, moving.serving, servers(moving.retained)) == (Course.MOVING, 2, ["a"])
    moved = advanced(*wrong, *new("b"), serving=2)
    assert (moved.course, moved.retained) == (Course.STEADY, ())


def test_a_replica_in_the_wrong_pool_that_is_going_keeps_no_requests_from_one_in_the_right_pool() -> None:
    going = new("a", stage=ReplicaStage.LEAVING, pool=ELSEWHERE)
    assert advanced(*going, *new("b"), wanted=2, serving=0).serving == 2


def test_no_more_old_ones_are_kept_than_are_wanted() -> None:
    assert servers(advanced(*old("a", "b", "c"), wanted=2).retained) == ["a", "b"]
    gone = old("a", "b", "c")
    assert servers(advanced(*gone, wanted=2, fading=(gone[0].key,)).retained) == ["b", "c"]


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    stages = st.sampled_from(ReplicaStage)
    pools = st.sampled_from([POOL, ELSEWHERE])
    replicas = [
        a_replica(f"s-{number}", draw(st.integers(1, 2)), draw(stages), pool=draw(pools))
        for number in range(draw(st.integers(0, 6)))
    ]
    fading = {each.key for each in replicas if draw(st.integers(0, 3)) == 0}
    return standing(
        *replicas,
        wanted=draw(st.integers(0, 4)),
        target_is_loadable=draw(st.booleans()),
        target_has_failed=draw(st.booleans()),
        older=draw(st.sampled_from([1, None])),
        serving=draw(st.integers(0, 2)),
        fading=fading,
    )


@given(standings())
def test_requests_go_to_ready_replicas_that_stay_or_nowhere(given: Standing) -> None:
    found = rollout.advance(given)
    ready = [each for each in given.replicas if each.version == found.serving and each.is_ready]
    assert bool(found.serving) == bool(found.serving and ready)
    claims = {given.target: found.target_replicas, given.older: found.older_replicas}
    if found.serving:
        assert claims.get(found.serving) or any(each.version == found.serving for each in found.retained)


@given(standings())
def test_a_model_that_is_wanted_is_served_by_whatever_is_ready_of_it(given: Standing) -> None:
    known = {given.older} | ({given.target} if given.target_is_loadable else set())
    ready = [each for each in given.replicas if each.is_ready and each.version in known and each.server.pool in given.pools]
    if given.wanted and ready:
        assert rollout.advance(given).serving


@given(standings())
def test_what_may_be_swapped_is_part_of_what_is_retained(given: Standing) -> None:
    found = rollout.advance(given)
    assert set(found.swappable) <= set(found.retained)
    assert all(each.shows_ready for each in found.retained)


def test_no_more_misplaced_ones_are_kept_than_are_missing_in_their_place() -> None:
    found = advanced(*new("a", "b", pool=ELSEWHERE), *new("c"), wanted=2, serving=2)
    assert (found.course, found.serving, servers(found.retained)) == (Course.MOVING, 2, ["a"])
