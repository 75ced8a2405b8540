from collections import Counter
from dataclasses import replace

from hypothesis import given, settings

from domain_builders import CPU, DIGITS, GIB, NOW, POOL, SIMULATED, a_holding, a_server, an_address
from domain_strategies import PlacementCase, placement_cases
from forebay_operator.domain import placement
from forebay_operator.domain.fleet import Order, OrderKind, Replica, ReplicaKey, ReplicaStage, muster
from forebay_operator.domain.placement import Claim, Placed, Placement
from forebay_operator.domain.snapshot import HoldingPhase, Pool, Server, ServerPhase


def a_claim(name: str = "digits", version: int = 1, need: int = 4 * GIB, **fields: object) -> Claim:
    made = Claim(address=an_address(name), version=version, need_bytes=need, replicas=1, pools=(POOL,))
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of the claim, by name


def placed(
    servers: list[Server], *claims: Claim, left: int | None = 0, retained: tuple[ReplicaKey, ...] = ()
) -> tuple[Placement, list[Placed]]:
    fleet = muster(servers, {})
    filled = [
        replace(claim, present=tuple(each for each in fleet.of(claim.address) if each.version == claim.version))
        for claim in claims
    ]
    needs = {claim.key: claim.need_bytes for claim in claims}

    def footprint(replica: Replica) -> int:
        known = needs.get((replica.address, replica.version), replica.server.pool.device.memory_bytes)
        return replica.footprint_bytes if replica.footprint_bytes is not None else known

    plan = placement.place(filled, fleet, retained=retained, devices_left={SIMULATED: left}, footprint=footprint)
    return plan, [plan.placed[claim.key] for claim in claims]


def filled(name: str, gib: int) -> Server:
    """A server on which another model takes so much."""
    return a_server(name, a_holding(f"filler-{name}", footprint_bytes=gib * GIB))


def kept_on(*names: str) -> tuple[ReplicaKey, ...]:
    return tuple(ReplicaKey(name, f"filler-{name}", 1) for name in names)


def test_the_fullest_server_that_has_room_is_chosen() -> None:
    servers = [filled("a", 2), filled("b", 11), filled("c", 13)]
    _, (found,) = placed(servers, a_claim(), retained=kept_on("a", "b", "c"))
    assert found.added == ("b",)


def test_two_replicas_of_a_version_never_share_a_server() -> None:
    _, (found,) = placed([a_server("a"), a_server("b")], a_claim(replicas=3))
    assert sorted(found.added) == ["a", "b"]
    assert found.unplaced == 1


def test_what_has_a_place_keeps_it() -> None:
    servers = [a_server("a", a_holding()), filled("b", 10)]
    _, (found,) = placed(servers, a_claim(), retained=kept_on("b"))
    assert [replica.server.name for replica in found.kept] == ["a"]
    assert not found.added


def test_ready_replicas_are_kept_before_others_and_crowded_servers_before_empty_ones() -> None:
    servers = [
        a_server("loading", a_holding(phase=HoldingPhase.LOADING)),
        a_server("alone", a_holding()),
        a_server("shared", a_holding(), a_holding("other")),
    ]
    _, (two,) = placed(servers, a_claim(replicas=2))
    assert {replica.server.name for replica in two.kept} == {"alone", "shared"}
    _, (one,) = placed(servers, a_claim(replicas=1))
    assert [replica.server.name for replica in one.kept] == ["shared"]


def test_a_choice_once_made_is_not_reversed() -> None:
    servers = [a_server("a", a_holding()), a_server("b", a_holding())]
    _, (found,) = placed(servers, a_claim(fading=frozenset({ReplicaKey("a", "digits", 1)})))
    assert [replica.server.name for replica in found.kept] == ["b"]


def test_room_that_is_about_to_be_freed_is_waited_for_not_taken() -> None:
    plan, (found,) = placed([filled("a", 14)], a_claim(), left=5)
    assert not found.added
    assert found.planned == ("a",)
    assert not plan.opened


def test_a_ready_server_is_preferred_to_one_that_starts_and_that_to_a_new_one() -> None:
    starting = a_server("starting", phase=ServerPhase.STARTING)
    _, (found,) = placed([starting, a_server("ready")], a_claim(), left=5)
    assert found.added == ("ready",)
    plan, (waiting,) = placed([starting], a_claim(), left=5)
    assert waiting.planned == ("starting",)
    assert not plan.opened
    plan, (opening,) = placed([], a_claim(), left=5)
    assert opening.planned == ("",)
    assert plan.opened == {POOL: 1}


def test_no_order_goes_to_a_server_whose_pages_were_never_read() -> None:
    _, (found,) = placed([a_server("a", observed_at=None)], a_claim())
    assert found.planned == ("a",)


def test_new_servers_are_shared_and_no_more_than_there_are_devices() -> None:
    plan, found = placed([], a_claim("adam", need=9 * GIB), a_claim("bert", need=5 * GIB), a_claim("cora"), left=1)
    assert plan.opened == {POOL: 1}
    assert [each.unplaced for each in found] == [0, 0, 1]


def test_every_model_gets_its_first_replica_before_any_gets_a_second() -> None:
    _, (adam, bert) = placed([], a_claim("adam", replicas=3, need=16 * GIB), a_claim("bert", need=16 * GIB), left=2)
    assert (len(adam.planned), adam.unplaced) == (1, 2)
    assert len(bert.planned) == 1


def test_what_loads_unloads_or_failed_takes_its_room() -> None:
    for phase in (HoldingPhase.LOADING, HoldingPhase.UNLOADING, HoldingPhase.FAILED):
        busy = a_server("a", a_holding("stranger", phase=phase))
        _, (found,) = placed([busy], a_claim())
        assert not found.added, phase


def test_a_server_where_the_load_failed_lately_is_not_asked() -> None:
    _, (found,) = placed([a_server("a"), filled("b", 10)], a_claim(refused=frozenset({"b"})), retained=kept_on("b"))
    assert found.added == ("a",)


def test_a_failed_replica_lends_its_room_to_its_own_next_try() -> None:
    full = a_server("a", a_holding(phase=HoldingPhase.FAILED), a_holding("filler-a", footprint_bytes=12 * GIB))
    _, (found,) = placed([full], a_claim(), retained=kept_on("a"))
    assert found.added == ("a",)


def test_a_failed_replica_stays_as_long_as_nobody_needs_its_room() -> None:
    failed = a_server("a", a_holding(phase=HoldingPhase.FAILED))
    refused = a_claim(refused=frozenset({"a"}))
    plan, _ = placed([failed], refused)
    assert plan.lingering == {ReplicaKey("a", "digits", 1)}
    plan, (_, other) = placed([failed], refused, a_claim("other", need=14 * GIB))
    assert other.planned == ("a",)
    assert not plan.lingering


OLD = a_holding(version=1, footprint_bytes=10 * GIB)


def swapping(*servers: Server, replicas: int = 1) -> tuple[Placement, list[Placed]]:
    fleet = muster(servers, {})
    old = tuple(each for each in fleet.of(DIGITS) if each.version == 1)
    claim = a_claim(version=2, need=10 * GIB, swappable=old, replicas=replicas)
    return placed(list(servers), claim, retained=tuple(each.key for each in old))


def test_an_older_replica_goes_early_only_where_there_is_no_other_room() -> None:
    _, (found,) = swapping(a_server("a", OLD), a_server("b"))
    assert found.added == ("b",)
    assert not found.swapped
    _, (found,) = swapping(a_server("a", OLD))
    assert found.planned == ("a",)
    assert [replica.version for replica in found.swapped] == [1]


def test_older_replicas_go_one_at_a_time() -> None:
    _, (found,) = swapping(a_server("a", OLD), a_server("b", OLD), replicas=2)
    assert len(found.swapped) == 1
    loading = a_holding(version=2, phase=HoldingPhase.LOADING)
    _, (found,) = swapping(a_server("a", OLD), a_server("b", loading), replicas=2)
    assert not found.swapped


def test_a_swap_that_makes_no_room_is_not_made() -> None:
    small = a_holding(version=1, footprint_bytes=2 * GIB)
    crowded = a_server("a", small, a_holding("filler-a", footprint_bytes=9 * GIB))
    fleet = muster([crowded], {})
    claim = a_claim(version=2, need=10 * GIB, swappable=fleet.of(DIGITS))
    _, (found,) = placed([crowded], claim, retained=(*kept_on("a"), ReplicaKey("a", "digits", 1)))
    assert not found.swapped
    assert found.unplaced == 1


def test_the_server_that_was_cleared_by_a_swap_is_kept_for_its_claim() -> None:
    cleared = a_claim("zora", need=10 * GIB, reserved="a")
    _, (other, found) = placed([a_server("a"), a_server("b")], a_claim("adam", need=12 * GIB), cleared)
    assert found.added == ("a",)
    assert other.added == ("b",)


def test_an_unused_server_of_another_pool_gives_its_device_to_a_model_without_a_place() -> None:
    idle = a_server("idle", pool=Pool("other", SIMULATED))
    plan, (found,) = placed([idle], a_claim())
    assert found.planned == ("",)
    assert plan.reclaimed == {"idle"}
    plan, (still,) = placed([idle], a_claim(may_open=False))
    assert still.unplaced == 1
    assert not plan.reclaimed


def test_an_old_replica_in_a_pool_of_no_use_goes_to_free_its_device() -> None:
    elsewhere = a_server("a", OLD, pool=Pool("default", SIMULATED, exclusive="digits"))
    _, (found,) = swapping(elsewhere)
    assert [replica.server.name for replica in found.swapped] == ["a"]


def reason(servers: list[Server], claim: Claim, **fields: int | None) -> str:
    _, (found,) = placed(servers, claim, retained=kept_on(*(each.name for each in servers)), **fields)
    return found.reason


def test_what_has_no_place_is_told_why_with_numbers() -> None:
    full = [filled("a", 10), filled("b", 12)]
    assert reason(full, a_claim(need=8 * GIB)) == "A replica needs 8.0 GiB, the roomiest of 2 devices has 6.0 GiB free"
    assert reason(full[:1], a_claim(need=8 * GIB)) == "A replica needs 8.0 GiB, the only device has 6.0 GiB free"
    assert reason([], a_claim()) == "A replica needs 4.0 GiB on a device of its own, and all devices are taken"
    assert reason([], a_claim(pools=())) == "There is no device that it may use"
    assert "the largest device (simulated) has 16.0 GiB" in reason([], a_claim(need=17 * GIB), left=None)
    two = [a_server("a", a_holding()), a_server("b", a_holding())]
    assert reason(two, a_claim(replicas=3)) == "There are 2 devices, with one replica each already"
    failing = a_claim(refused=frozenset({"a", "b"}))
    assert reason([a_server("a"), a_server("b")], failing) == "The load failed on all 2 devices"
    assert reason([a_server("a", a_holding()), a_server("b")], a_claim(replicas=2, refused=frozenset({"b"}))) == (
        "1 device has a replica already, and on 1 the load failed"
    )


@given(placement_cases())
@settings(max_examples=80, deadline=None)
def test_no_device_is_ever_over_committed(case: PlacementCase) -> None:
    plan = plan_of(case)
    for name, (server, replicas) in case.fleet.by_server.items():
        ordered = [(claim, plan.placed[claim.key]) for claim in case.claims if name in plan.placed[claim.key].added]
        retried = {(claim.address, claim.version) for claim, _ in ordered}
        held = sum(
            case.footprint(replica)
            for replica in replicas
            if not (replica.stage is ReplicaStage.FAILED and (replica.address, replica.version) in retried)
        )
        assert held + sum(claim.need_bytes for claim, _ in ordered) <= server.pool.device.memory_bytes or not ordered


@given(placement_cases())
@settings(max_examples=40, deadline=None)
def test_claims_are_met_or_it_is_said_why_not(case: PlacementCase) -> None:
    plan = plan_of(case)
    for claim in case.claims:
        found = plan.placed[claim.key]
        here = len(found.kept) + len(found.added) + len(found.planned)
        assert here + found.unplaced == claim.replicas
        assert bool(found.reason) == bool(found.unplaced)
        servers = Counter([*(each.server.name for each in found.kept), *found.added])
        assert all(count == 1 for count in servers.values())
        assert not set(found.added) & claim.refused


@given(placement_cases())
@settings(max_examples=40, deadline=None)
def test_no_more_servers_are_asked_for_than_there_can_be(case: PlacementCase) -> None:
    plan = plan_of(case)
    for device, left in case.devices_left.items():
        opened = sum(number for pool, number in plan.opened.items() if pool.device == device)
        assert left is None or opened <= left


@given(placement_cases())
@settings(max_examples=20, deadline=None)
def test_the_same_question_has_the_same_answer(case: PlacementCase) -> None:
    assert plan_of(case) == plan_of(case)


def plan_of(case: PlacementCase) -> Placement:
    retained = {replica.key for claim in case.claims for replica in claim.swappable}
    return placement.place(
        case.claims, case.fleet, retained=retained, devices_left=case.devices_left, footprint=case.footprint
    )


def test_devices_of_another_kind_are_no_room() -> None:
    _, (found,) = placed([a_server("a", pool=Pool("default", CPU))], a_claim())
    assert found.unplaced == 1


def test_an_outdated_server_is_asked_last_but_before_a_new_one_is_started() -> None:
    old = a_server("a", outdated=True)
    _, (found,) = placed([old, a_server("b")], a_claim())
    assert found.added == ("b",)
    plan, (alone,) = placed([old], a_claim(), left=5)
    assert alone.added == ("a",)
    assert not plan.opened


def test_a_server_is_emptied_only_when_all_that_stays_on_it_can_move() -> None:
    old = a_server(
        "old", a_holding("adam", footprint_bytes=7 * GIB), a_holding("bert", footprint_bytes=7 * GIB), outdated=True
    )
    claims = a_claim("adam", need=7 * GIB), a_claim("bert", need=7 * GIB)
    plan, found = placed([old, filled("new", 6)], *claims, retained=kept_on("new"))
    assert [(each.added, len(each.kept)) for each in found] == [((), 1), ((), 1)]
    assert not plan.opened
    plan, found = placed([old, filled("new", 6)], *claims, retained=kept_on("new"), left=1)
    assert [each.added + each.planned for each in found] == [("new",), ("",)]
    assert plan.opened == {POOL: 1}


def test_what_takes_over_is_kept_beside_what_it_takes_over_from_until_it_is_ready() -> None:
    old = a_server("old", a_holding(), outdated=True)
    _, (moving,) = placed([old, a_server("new", a_holding(phase=HoldingPhase.LOADING))], a_claim(), left=5)
    assert [each.server.name for each in moving.kept] == ["old", "new"]
    assert not moving.added
    _, (moved,) = placed([old, a_server("new", a_holding())], a_claim(), left=5)
    assert [each.server.name for each in moved.kept] == ["new"]


def test_an_order_that_does_not_show_is_given_up_where_others_need_the_room_since() -> None:
    server = a_server("a", a_holding("filler-a", footprint_bytes=14 * GIB))
    order = Order(key=ReplicaKey("a", "digits", 1), address=DIGITS, kind=OrderKind.LOAD, sequence=1, at=NOW)
    fleet = muster([server], {order.key: order})
    claim = a_claim(present=fleet.of(DIGITS))
    plan = placement.place(
        [claim],
        fleet,
        retained=kept_on("a"),
        devices_left={SIMULATED: 1},
        footprint=lambda replica: replica.footprint_bytes or 4 * GIB,
    )
    assert not plan.placed[claim.key].kept
    assert plan.placed[claim.key].planned == ("",)


def test_a_claim_whose_server_is_still_to_be_cleared_takes_no_place_that_others_wait_for() -> None:
    servers = [a_server("a", a_holding("bert", footprint_bytes=10 * GIB)), a_server("b", phase=ServerPhase.STARTING)]
    (old,) = muster(servers, {}).of(an_address("bert"))
    bert = a_claim("bert", version=2, need=10 * GIB, reserved="a", swappable=(old,))
    _, (first, second) = placed(servers, a_claim("adam", need=10 * GIB), bert, retained=(old.key,))
    assert first.planned == ("b",)
    assert [each.key for each in second.swapped] == [old.key]
