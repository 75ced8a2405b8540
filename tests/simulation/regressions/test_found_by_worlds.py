"""What random worlds found, each shrunk to the least that shows it."""

from dataclasses import replace

import pytest

from forebay_operator.domain.deployment import Autoscaling, Placement, Serving
from forebay_operator.domain.snapshot import Capacity, DeviceClass, HoldingPhase
from forebay_operator.worlds.simulated.arrivals import Bursts, Even, Recorded
from forebay_operator.worlds.simulated.faults import (
    ActionsDoubled,
    ActionsLate,
    ActionsLost,
    ControllerRestarts,
    ConversionsFail,
    Fault,
    GatewaySilent,
    LoadsFail,
    ServerHangsAtStart,
    ServersOutdated,
)
from forebay_operator.worlds.simulated.fleet import FleetSettings
from forebay_operator.worlds.simulated.simulation import Simulation
from forebay_operator.worlds.simulated.story import Delete
from forebay_schema.addresses import ModelAddress
from simulation_builders import DEVICE, DIGITS, GIB, SOURCE, a_spec
from simulation_stories import BIG, OTHER_SOURCE, SETTINGS, SMALL, a_story, answered, applied, asked, course_of, to_zero

LETTERS = ModelAddress("blue", "letters")


def test_a_server_that_never_gets_ready_is_given_up_and_replaced() -> None:
    """On the only device, it kept the model waiting for ever; with nobody wanting anything, it stayed."""
    faults = (ServerHangsAtStart(at=0.0),)
    simulation, _ = course_of(a_story(applied(a_spec()), faults=faults, servers=1))
    assert len(simulation.world.fleet.ready()) == 1
    simulation, _ = course_of(a_story(applied(a_spec()), Delete(at=30.0, address=DIGITS), faults=faults, servers=1))
    assert not simulation.world.fleet.servers


def test_two_models_of_one_source_order_one_conversion() -> None:
    edits = (applied(a_spec(), at=1.0), applied(a_spec(), at=1.5, address=LETTERS))
    _, course = course_of(a_story(*edits))
    assert course.actions["StartConversion"] == 1


def test_a_failed_load_that_is_tried_again_is_not_unloaded_in_the_same_step() -> None:
    story = a_story(applied(a_spec(replicas=2)), faults=(LoadsFail(at=2.0, pick=0.0, count=2),))
    simulation, _ = course_of(story)
    assert len(simulation.world.fleet.ready()) == 2


def test_a_model_without_a_place_wants_no_more_once_nobody_asks() -> None:
    """The busy share of no replicas was taken for an unknown one, which held the number that requests had called for."""
    filler = a_spec(OTHER_SOURCE, placement=Placement(memory_bytes=16 * GIB))
    policy = Autoscaling(min_replicas=1, max_replicas=3, scale_down_delay_s=5.0, idle_timeout_s=10.0)
    edits = (applied(filler, address=LETTERS), applied(a_spec(autoscaling=policy), at=20.0))
    big = replace(SMALL, estimate_bytes=16 * GIB, footprint_bytes=16 * GIB)
    story = a_story(*edits, servers=1, other=big, loads=(asked(Bursts(0.0, size=60, every_s=10.0), at=30.0),))
    simulation, _ = course_of(story)
    status = simulation.world.deployments[DIGITS].status
    assert status is not None
    assert status.scaling is not None
    assert status.scaling.wanted == 1


def test_a_replica_that_is_being_unloaded_is_not_routed_to_again() -> None:
    """A request came between the order to unload the last replica and the page that shows it."""
    for wake_up in (39.6, 40.1, 40.3, 40.6, 40.9, 41.1, 41.3, 41.6, 41.9, 42.1, 42.3):
        story = a_story(loads=(asked(Recorded((20.0, wake_up - 5.0))),))
        _, course = course_of(story)
        assert answered(course) == 2


@pytest.mark.parametrize(
    "fault",
    [
        ActionsDoubled(at=30.0, seconds=40.0, share=1.0, again_s=3.0),
        ActionsLate(at=30.0, seconds=40.0, share=1.0, late_s=4.0),
    ],
    ids=["doubled", "late"],
)
def test_no_request_fails_when_it_comes_while_orders_to_unload_are_on_their_way(fault: Fault) -> None:
    for wake_up in (40.1, 41.1, 42.3, 43.3, 44.3, 45.3, 46.3, 47.3, 48.3, 49.3):
        story = a_story(loads=(asked(Recorded((20.0, wake_up - 5.0))),), faults=(fault,))
        _, course = course_of(story)
        assert answered(course) == 2


@pytest.mark.parametrize(("tells", "servers"), [(True, 2), (False, 9)], ids=["told", "not told"])
def test_a_model_that_no_device_can_hold_does_not_start_servers_without_end(tells: bool, servers: int) -> None:
    """Its failures were forgotten with the servers on which it failed."""
    too_big = replace(SMALL, estimate_bytes=DEVICE.memory_bytes - GIB, footprint_bytes=DEVICE.memory_bytes + GIB)
    settings = replace(SETTINGS, server_idle_s=5.0)
    fleet = FleetSettings(tells_what_loads_need=tells)
    simulation, _ = course_of(a_story(applied(a_spec()), servers=3, behaviour=too_big, settings=settings, fleet=fleet))
    assert len(simulation.world.fleet.started_at) <= servers
    status = simulation.world.deployments[DIGITS].status
    assert status is not None
    expected = "the largest device (simulated) has 16.0 GiB: use a smaller model" if tells else "its load failed on"
    assert expected in status.summary


def test_a_model_made_anew_with_the_name_and_source_of_one_just_deleted_serves() -> None:
    edits = (
        applied(a_spec()),
        Delete(at=30.0, address=DIGITS),
        applied(to_zero(1, 1), at=30.6),
    )
    simulation, course = course_of(a_story(*edits, loads=(asked(Even(5.0), at=50.0),)))
    assert answered(course) == 250
    holdings = [holding for server in simulation.world.fleet.page() for holding in server.holdings]
    assert [holding.phase for holding in holdings] == [HoldingPhase.READY]


def test_a_model_that_moves_to_a_pool_of_its_own_where_there_is_one_device_is_swapped() -> None:
    edits = (applied(a_spec()), applied(a_spec(placement=Placement(exclusive=True)), at=30.0))
    simulation, course = course_of(a_story(*edits, servers=1, loads=(asked(Even(5.0)),)))
    assert answered(course) == 475
    assert [server.pool.exclusive for server in simulation.world.fleet.servers.values()] == [DIGITS.name]


@pytest.mark.parametrize("at", [26.0, 29.5, 31.5])
def test_two_pools_do_not_take_the_last_device_from_each_other(at: float) -> None:
    exclusive = a_spec(OTHER_SOURCE, placement=Placement(exclusive=True))
    edits = (applied(a_spec()), applied(a_spec(OTHER_SOURCE), at=30.0), applied(exclusive, at=at, address=LETTERS))
    _, course = course_of(a_story(*edits, behaviour=BIG, other=BIG))
    assert course.actions["ResizePool"] < 10


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_world_in_which_orders_get_lost_comes_to_rest_all_the_same(share: float) -> None:
    faults = (
        ActionsLost(at=0.0, seconds=60.0, share=share),
        GatewaySilent(at=40.0, seconds=15.0),
        ConversionsFail(at=0.0, count=1, retryable=True),
    )
    simulation = Simulation(a_story(applied(a_spec(SOURCE, replicas=2)), faults=faults))
    course = simulation.run()
    assert not course.violations
    assert len(simulation.world.fleet.ready()) == 2


def test_an_order_that_got_lost_is_not_given_again_where_another_model_took_more_than_was_estimated() -> None:
    greedy = replace(SMALL, estimate_bytes=8 * GIB, footprint_bytes=12 * GIB, load_s=15.0)
    late = replace(SMALL, estimate_bytes=6 * GIB, footprint_bytes=6 * GIB)
    edits = (applied(a_spec()), applied(to_zero(uri=OTHER_SOURCE), address=LETTERS))
    loads = (asked(Recorded((0.0,)), at=12.0, address=LETTERS),)
    faults = (ActionsLost(at=11.0, seconds=30.0, share=1.0),)
    course_of(a_story(*edits, loads=loads, faults=faults, servers=1, behaviour=greedy, other=late))


def test_outdated_servers_are_emptied_although_a_model_that_fits_no_device_waits() -> None:
    """A model that no device could hold was taken to wait for room, so that nothing else moved."""
    hopeless = a_spec(OTHER_SOURCE, placement=Placement(memory_bytes=17 * GIB))
    edits = (applied(a_spec(replicas=2)), applied(hopeless, address=LETTERS))
    simulation, _ = course_of(a_story(*edits, faults=(ServersOutdated(at=30.0),), servers=3))
    servers = simulation.world.fleet.ready()
    assert [server.outdated for server in servers] == [False, False]


def test_a_model_of_which_only_a_part_has_room_where_it_should_be_has_no_more_replicas_than_are_wanted() -> None:
    """Those elsewhere stayed all, as the others were too few to take over."""
    gpu = DeviceClass("gpu", "NVIDIA-H100", 16 * GIB)
    moved = a_spec(replicas=2, placement=Placement(gpu_class="NVIDIA-H100"))
    edits = (applied(a_spec(replicas=2, placement=Placement(gpu_class="simulated"))), applied(moved, at=30.0))
    capacity = (Capacity(device=DEVICE, servers=2), Capacity(device=gpu, servers=1))
    simulation, _ = course_of(replace(a_story(*edits), capacity=capacity))
    kinds = [server.pool.device.kind for server in simulation.world.fleet.ready()]
    assert sorted(kinds) == ["gpu", "simulated"]


@pytest.mark.parametrize("seed", [2, 4, 9])
def test_a_lost_load_is_not_ignored_for_ever_because_an_unload_of_the_same_model_came_after_it(seed: int) -> None:
    """The load was given again with a sequence below that of the unload, which the server had seen."""
    slow = replace(SMALL, load_s=8.0)
    edits = (applied(a_spec()), applied(a_spec(serving=Serving(max_batch_size=8)), at=7.0))
    faults = (ActionsLost(at=10.0, seconds=6.0, share=0.5),)
    course_of(replace(a_story(*edits, servers=1, behaviour=slow, faults=faults), seed=seed))


@pytest.mark.parametrize("at", [32.0, 34.0, 36.0])
def test_a_controller_that_comes_back_while_replicas_move_wants_no_more_than_before(at: float) -> None:
    """Without memory, the replica that moved and the one that was about to go counted as two that were wanted."""
    before = to_zero(1, 2)
    moved = replace(before, placement=Placement(exclusive=True))
    faults = (ControllerRestarts(at=at, away_s=15.0, forgets_conversions=False),)
    edits = (applied(before), applied(moved, at=30.0))
    simulation, course = course_of(a_story(*edits, faults=faults, servers=3, loads=(asked(Even(1.0)),)))
    assert course.actions["LoadReplica"] == 2
    assert [server.pool.exclusive for server in simulation.world.fleet.ready()] == [DIGITS.name]


def test_what_stays_until_there_is_room_where_it_is_wanted_does_not_move_off_an_outdated_server() -> None:
    gpu = DeviceClass("gpu", "NVIDIA-H100", 16 * GIB)
    moved = a_spec(replicas=2, placement=Placement(gpu_class="NVIDIA-H100"))
    edits = (applied(a_spec(replicas=2, placement=Placement(gpu_class="simulated"))), applied(moved, at=30.0))
    capacity = (Capacity(device=DEVICE, servers=2), Capacity(device=gpu, servers=1))
    simulation, _ = course_of(replace(a_story(*edits, faults=(ServersOutdated(at=60.0),)), capacity=capacity))
    assert sorted(server.pool.device.kind for server in simulation.world.fleet.ready()) == ["gpu", "simulated"]


@pytest.mark.parametrize("at", [13.5, 15.0])
def test_a_load_that_failed_and_is_tried_again_sooner_may_take_the_device_of_an_idle_server(at: float) -> None:
    """Pauses after failures are lost with the controller's memory, and so may be a server that held nothing yet."""
    alone = replace(to_zero(1, 1), placement=Placement(exclusive=True))
    edits = (applied(alone), applied(a_spec(OTHER_SOURCE), at=8.0, address=LETTERS))
    faults = (LoadsFail(at=2.0, pick=0.0, count=2), ControllerRestarts(at=at, away_s=1.0, forgets_conversions=False))
    simulation, _ = course_of(a_story(*edits, faults=faults, servers=2))
    assert len(simulation.world.fleet.ready()) == 2


def test_loads_that_failed_on_shared_servers_do_not_keep_a_model_from_a_server_of_its_own() -> None:
    """It was to be tried again on those first, which are not for it any more."""
    edits = (
        applied(a_spec(OTHER_SOURCE, replicas=2), address=LETTERS),
        applied(a_spec(), at=20.0),
        applied(a_spec(placement=Placement(exclusive=True)), at=32.0),
    )
    simulation, course = course_of(a_story(*edits, servers=3, other=BIG, faults=(LoadsFail(at=20.5, pick=0.0, count=2),)))
    assert course.actions["LoadReplica"] == 5
    assert sorted(server.pool.exclusive or "" for server in simulation.world.fleet.ready()) == ["", "", DIGITS.name]


def test_a_model_made_anew_is_not_kept_waiting_by_what_failed_of_its_namesake() -> None:
    edits = (
        applied(a_spec(OTHER_SOURCE, replicas=2), address=LETTERS),
        applied(a_spec(), at=20.0),
        Delete(at=40.0, address=DIGITS),
        applied(a_spec(), at=42.0),
    )
    faults = (LoadsFail(at=20.5, pick=0.0, count=4),)
    _, course = course_of(a_story(*edits, other=BIG, faults=faults, loads=(asked(Recorded((0.0,)), at=44.0),)))
    assert max(course.waited) < 8.0


def test_a_revision_that_truly_takes_more_than_a_device_has_need_not_serve_when_the_next_one_cannot_be_converted() -> None:
    """A rule of the simulation went by the estimate alone."""
    too_big = replace(SMALL, estimate_bytes=DEVICE.memory_bytes - GIB, footprint_bytes=DEVICE.memory_bytes + GIB)
    edits = (applied(a_spec()), applied(a_spec("file:///models/missing.onnx"), at=30.0))
    simulation, _ = course_of(a_story(*edits, behaviour=too_big))
    assert simulation.world.deployments[DIGITS].status is not None


@pytest.mark.parametrize("at", [20.5, 21.2, 21.8, 22.5])
def test_servers_on_which_no_load_ever_showed_may_end_for_another_model_after_memory_was_lost(at: float) -> None:
    """A rule of the simulation took them for servers that are in use: only memory knew that a load was called back."""
    alone = replace(to_zero(uri=OTHER_SOURCE), placement=Placement(exclusive=True))
    edits = (applied(a_spec(replicas=2)), applied(alone, address=LETTERS), applied(a_spec(replicas=0), at=20.3))
    faults = (
        ActionsLost(at=6.5, seconds=40.0, share=1.0),
        ControllerRestarts(at=at, away_s=0.0, forgets_conversions=False),
    )
    loads = (asked(Even(1.0), at=15.0, until=60.0, address=LETTERS),)
    _, course = course_of(a_story(*edits, faults=faults, loads=loads))
    assert answered(course) == 45


@pytest.mark.parametrize("second", [21.0, 25.0])
def test_an_older_replica_does_not_go_for_one_that_its_server_holds_already(second: float) -> None:
    """Its server was cleared for nothing, and the other model's new server was ended for it, over and over."""
    edits = (
        applied(a_spec(replicas=2, placement=Placement(device="cpu"))),
        applied(a_spec(replicas=2), at=20.0),
        applied(a_spec(placement=Placement(exclusive=True)), at=20.2, address=LETTERS),
        applied(a_spec(OTHER_SOURCE, replicas=2), at=second),
    )
    capacity = (Capacity(device=DEVICE, servers=2), Capacity(device=DeviceClass("cpu", "cpu", 16 * GIB), servers=1))
    simulation, _ = course_of(replace(a_story(*edits), capacity=capacity))
    assert LETTERS.name in {server.pool.exclusive for server in simulation.world.fleet.ready()}
