"""What the control step makes of whole stories: the main courses of a ModelDeployment's life."""

from dataclasses import replace

from forebay_operator.domain.routes import RouteState
from forebay_operator.domain.snapshot import ConversionFailure
from forebay_operator.worlds.simulated.arrivals import Bursts, Constant, Even, Recorded
from forebay_operator.worlds.simulated.faults import (
    ControllerRestarts,
    ConversionsFail,
    GatewaySilent,
    ServerDies,
    ServerStalls,
)
from forebay_operator.worlds.simulated.requests import Outcome
from forebay_operator.worlds.simulated.simulation import Simulation
from forebay_operator.worlds.simulated.story import Delete
from forebay_schema.addresses import ModelAddress
from simulation_builders import DIGITS, a_spec
from simulation_stories import BIG, OTHER_SOURCE, SMALL, a_story, answered, applied, asked, course_of, to_zero

LETTERS = ModelAddress("blue", "letters")


def versions_ready(simulation: Simulation) -> list[int]:
    """The versions of digits that are ready now, one entry a replica."""
    return [
        holding.version
        for server in simulation.world.fleet.page()
        for holding in server.holdings
        if holding.model == DIGITS.name
    ]


def test_a_model_goes_from_zero_up_and_down_to_zero_again_without_a_failed_request() -> None:
    simulation, course = course_of(a_story(loads=(asked(Constant(40.0), until=60.0),)))
    assert answered(course) > 2000
    assert versions_ready(simulation) == []
    assert not simulation.world.fleet.servers


def test_a_lone_request_wakes_a_model_and_is_answered() -> None:
    _, course = course_of(a_story(loads=(asked(Recorded((30.0, 80.0))),)))
    assert answered(course) == 2


def test_a_surge_is_shared_by_all_replicas_that_may_be() -> None:
    slow = replace(SMALL, base_s=0.5)
    story = a_story(applied(to_zero(1, 2)), loads=(asked(Constant(80.0), until=60.0),), behaviour=slow)
    simulation = Simulation(story)
    for seconds in range(60):
        simulation.advance(float(seconds))
    assert len(versions_ready(simulation)) == 2
    assert not simulation.violations


def test_a_new_revision_takes_over_beside_the_old_without_a_failed_request() -> None:
    edits = (applied(a_spec()), applied(a_spec(OTHER_SOURCE), at=30.0))
    simulation, course = course_of(a_story(*edits, loads=(asked(Even(10.0)),)))
    assert answered(course) == 950
    assert versions_ready(simulation) == [2]


def test_going_back_to_a_spec_of_before_is_a_new_revision_of_the_old_artifact() -> None:
    edits = (applied(a_spec()), applied(a_spec(OTHER_SOURCE), at=30.0), applied(a_spec(), at=50.0))
    simulation, course = course_of(a_story(*edits, loads=(asked(Even(10.0)),)))
    assert answered(course) == 950
    assert versions_ready(simulation) == [3]


def test_where_both_revisions_have_no_room_the_old_one_is_swapped_out_behind_the_hold() -> None:
    edits = (applied(a_spec()), applied(a_spec(OTHER_SOURCE), at=30.0))
    simulation, course = course_of(a_story(*edits, loads=(asked(Even(10.0)),), servers=1, behaviour=BIG, other=BIG))
    assert answered(course) == 950
    assert versions_ready(simulation) == [2]


def test_a_revision_that_cannot_be_converted_leaves_the_old_one_serving() -> None:
    refusal = ConversionFailure(stage="convert", cause="an operator is unknown", remedy="export it again")
    edits = (applied(a_spec()), applied(a_spec(OTHER_SOURCE), at=30.0))
    simulation, course = course_of(a_story(*edits, loads=(asked(Even(10.0)),), other=replace(SMALL, refusal=refusal)))
    assert answered(course) == 950
    assert versions_ready(simulation) == [1]
    status = simulation.world.deployments[DIGITS].status
    assert status is not None
    assert "an operator is unknown" in status.summary


def test_a_conversion_that_may_succeed_later_is_tried_again() -> None:
    simulation, _ = course_of(a_story(applied(a_spec()), faults=(ConversionsFail(at=0.0, count=2, retryable=True),)))
    assert versions_ready(simulation) == [1]


def test_a_deleted_model_leaves_nothing_and_one_of_its_name_starts_anew() -> None:
    edits = (applied(a_spec()), Delete(at=30.0, address=DIGITS), applied(a_spec(OTHER_SOURCE), at=31.0))
    simulation, _ = course_of(a_story(*edits))
    assert len(versions_ready(simulation)) == 1
    simulation, _ = course_of(a_story(applied(a_spec()), Delete(at=60.0, address=DIGITS, lingers_s=3.0)))
    assert not simulation.world.fleet.servers
    assert not simulation.world.store.artifacts
    assert not simulation.world.gateway.written


def test_a_stopped_model_is_unloaded_and_refused_and_serves_again_when_it_is_started() -> None:
    edits = (applied(a_spec()), applied(a_spec(stopped=True), at=30.0), applied(a_spec(), at=60.0))
    simulation, course = course_of(a_story(*edits, loads=(asked(Even(10.0)),)))
    assert course.requests[Outcome.STOPPED] > 250
    assert course.requests[Outcome.ANSWERED] + course.requests[Outcome.STOPPED] == 950
    assert versions_ready(simulation) == [1]


def test_a_server_that_dies_is_replaced_and_only_the_requests_in_it_fail() -> None:
    story = a_story(applied(a_spec()), loads=(asked(Even(10.0)),), faults=(ServerDies(at=40.0, pick=0.0),))
    simulation, course = course_of(story)
    assert course.requests[Outcome.KILLED] <= 5
    assert course.requests[Outcome.ANSWERED] == 950 - course.requests[Outcome.KILLED]
    assert versions_ready(simulation) == [1]


def test_a_server_that_stalls_for_long_is_replaced_too() -> None:
    story = a_story(applied(a_spec()), faults=(ServerStalls(at=40.0, pick=0.0, seconds=60.0),))
    simulation, _ = course_of(story)
    assert versions_ready(simulation) == [1]


def test_a_restarted_controller_moves_nothing() -> None:
    restart = ControllerRestarts(at=40.0, away_s=5.0, forgets_conversions=True)
    story = a_story(applied(a_spec(replicas=2)), loads=(asked(Even(10.0)),), faults=(restart,))
    _, course = course_of(story)
    assert answered(course) == 950
    assert course.actions["LoadReplica"] == 2
    assert course.actions["UnloadReplica"] == 0


def test_while_nothing_is_known_of_demand_nothing_is_scaled() -> None:
    faults = (GatewaySilent(at=40.0, seconds=50.0),)
    story = a_story(applied(to_zero(0, 2)), loads=(asked(Even(10.0), until=42.0),), faults=faults)
    simulation = Simulation(story)
    for seconds in range(89):
        simulation.advance(float(seconds))
    assert len(versions_ready(simulation)) >= 1
    assert not simulation.violations


def test_models_share_devices_and_each_is_answered() -> None:
    edits = (applied(to_zero()), applied(to_zero(uri=OTHER_SOURCE), address=LETTERS))
    loads = (asked(Bursts(2.0, size=50, every_s=20.0)), asked(Even(5.0), address=LETTERS))
    simulation, course = course_of(a_story(*edits, loads=loads, servers=1))
    assert answered(course) > 475
    routes = {route.address: route.state for route in simulation.world.gateway.written}
    assert routes == {DIGITS: RouteState.HELD, LETTERS: RouteState.HELD}
