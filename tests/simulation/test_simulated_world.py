import random

from forebay_operator.domain.actions import (
    Action,
    CollectArtifact,
    ForgetConversion,
    LoadReplica,
    SetRoutes,
    StartConversion,
    WriteStatus,
)
from forebay_operator.domain.deployment import Serving, Source, Verification
from forebay_operator.domain.routes import RouteState
from forebay_operator.domain.snapshot import (
    Conversion,
    ConversionFailure,
    ConversionId,
    ConversionPhase,
    HoldingPhase,
    Server,
    ServerPhase,
)
from forebay_operator.domain.status import DeploymentStatus
from forebay_operator.worlds.simulated.arrivals import Even
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.conversions import artifact_digest
from forebay_operator.worlds.simulated.delivery import Delivery
from forebay_operator.worlds.simulated.disasters import end_all, plan_disasters, strike
from forebay_operator.worlds.simulated.faults import (
    ActionsDoubled,
    ActionsLate,
    ActionsLost,
    ConversionsFail,
    FiguresMissing,
    GatewaySilent,
    LoadsFail,
    ServerDies,
    ServerHangsAtStart,
    ServerStalls,
)
from forebay_operator.worlds.simulated.fleet import FleetSettings
from forebay_operator.worlds.simulated.requests import Outcome
from forebay_operator.worlds.simulated.story import Apply, Delete, Edit, Load, Story
from forebay_operator.worlds.simulated.timeline import Timeline
from forebay_operator.worlds.simulated.world import BEGINNING, SimulatedWorld
from simulation_builders import (
    CAPACITY,
    DEVICE,
    DIGITS,
    POOL,
    SOURCE,
    a_resize,
    a_route,
    a_spec,
)

ID = ConversionId("blue", "id")
DIGEST = artifact_digest(Source(uri=SOURCE), 4)


def a_world(*edits: Edit, loads: tuple[Load, ...] = (), **behaviour: float) -> SimulatedWorld:
    story = Story(
        capacity=CAPACITY,
        sources={SOURCE: ModelBehaviour(**behaviour)},  # type: ignore[arg-type]  # the test names the fields
        edits=edits or (Apply(at=0.0, address=DIGITS, spec=a_spec()),),
        loads=loads,
        fleet=FleetSettings(start_s=2.0, lost_after_s=5.0, removed_after_s=10.0, gone_after_s=1.0),
    )
    world = SimulatedWorld(story)
    world.advance(0.0)
    return world


def a_conversion(attempt: int = 1, uri: str = SOURCE) -> StartConversion:
    return StartConversion(id=ID, attempt=attempt, source=Source(uri=uri), verification=Verification(), max_batch_size=4)


def conversion_in(world: SimulatedWorld) -> Conversion:
    return world.observe().conversions[0]


def servers_in(world: SimulatedWorld) -> list[Server]:
    return list(world.observe().servers)


def serve(world: SimulatedWorld) -> Server:
    """Have one server with a ready and routed replica; 20 s pass."""
    world.act([a_conversion(), a_resize(1)])
    world.advance(10.0)
    server = servers_in(world)[0]
    assert server.endpoint is not None
    order = LoadReplica(
        server=server.name,
        address=DIGITS,
        version=1,
        digest=DIGEST,
        serving=Serving(max_batch_size=4),
        memory_limit_bytes=0,
        sequence=1,
    )
    world.act([order, SetRoutes(routes=(a_route(server.endpoint),))])
    world.advance(20.0)
    return servers_in(world)[0]


def test_edits_happen_in_their_time_and_count_generations() -> None:
    changed = a_spec(replicas=2)
    world = a_world(
        Apply(at=1.0, address=DIGITS, spec=a_spec()),
        Apply(at=2.0, address=DIGITS, spec=changed),
        Apply(at=3.0, address=DIGITS, spec=changed),
    )
    assert not world.observe().deployments
    world.advance(3.0)
    (deployment,) = world.observe().deployments
    assert (deployment.generation, deployment.spec, deployment.status) == (2, changed, None)


def test_a_deleted_deployment_lingers_and_one_with_its_name_is_another() -> None:
    world = a_world(
        Apply(at=0.0, address=DIGITS, spec=a_spec()),
        Delete(at=1.0, address=DIGITS, lingers_s=5.0),
        Apply(at=2.0, address=DIGITS, spec=a_spec()),
    )
    first = world.observe().deployments[0]
    world.advance(5.0)
    assert world.observe().deployments[0].deleting
    world.advance(8.0)
    second = world.observe().deployments[0]
    assert (second.deleting, second.generation) == (False, 1)
    assert second.uid != first.uid


def test_a_conversion_publishes_an_artifact_and_is_found_the_next_time() -> None:
    world = a_world(convert_s=5.0)
    world.act([a_conversion()])
    world.advance(4.9)
    assert conversion_in(world).phase is ConversionPhase.RUNNING
    world.advance(5.0)
    done = conversion_in(world)
    assert done.artifact is not None
    assert (done.phase, done.artifact.digest) == (ConversionPhase.SUCCEEDED, DIGEST)
    assert [artifact.digest for artifact in world.observe().artifacts] == [DIGEST]
    world.act([ForgetConversion(id=ID), a_conversion()])
    world.advance(6.0)
    assert conversion_in(world).phase is ConversionPhase.SUCCEEDED


def test_an_attempt_at_a_conversion_is_made_once() -> None:
    world = a_world(convert_s=1.0)
    strike(world, ConversionsFail(at=0.0, count=1, retryable=True))
    world.act([a_conversion(attempt=1)])
    world.advance(2.0)
    world.act([a_conversion(attempt=1)])
    assert conversion_in(world).phase is ConversionPhase.FAILED
    world.act([a_conversion(attempt=2)])
    assert conversion_in(world).phase is ConversionPhase.RUNNING
    world.advance(4.0)
    assert conversion_in(world).phase is ConversionPhase.SUCCEEDED


def test_a_source_that_is_not_there_cannot_be_converted() -> None:
    world = a_world()
    world.act([a_conversion(uri="file:///nothing")])
    world.advance(2.0)
    failure = conversion_in(world).failure
    assert isinstance(failure, ConversionFailure)
    assert "file:///nothing" in failure.cause


def test_a_pool_grows_as_far_as_there_are_devices() -> None:
    world = a_world()
    world.act([a_resize(5)])
    world.advance(3.0)
    assert [server.phase for server in servers_in(world)] == [ServerPhase.READY] * 2


def test_a_pool_shrinks_by_its_victims_only_and_only_as_far_as_ordered() -> None:
    world = a_world()
    world.act([a_resize(2)])
    world.advance(3.0)
    first, second = (server.name for server in servers_in(world))
    world.act([a_resize(1)])
    assert len(servers_in(world)) == 2
    world.act([a_resize(1, first, second)])
    assert [server.name for server in servers_in(world)] == [second]


def test_a_victim_that_holds_a_replica_by_now_is_spared() -> None:
    world = a_world()
    server = serve(world)
    world.act([a_resize(0, server.name)])
    assert [server.phase for server in servers_in(world)] == [ServerPhase.READY]


def test_requests_are_answered_through_the_gateway() -> None:
    world = a_world(loads=(Load(at=20.0, until=30.0, address=DIGITS, arrivals=Even(2.0)),))
    serve(world)
    world.advance(40.0)
    assert world.ledger.by_outcome() == {Outcome.ANSWERED: 20}
    assert not world.ledger.open


def test_a_server_that_dies_takes_its_requests_along_and_frees_its_device() -> None:
    world = a_world(loads=(Load(at=20.0, until=21.0, address=DIGITS, arrivals=Even(4.0)),), base_s=30.0)
    serve(world)
    world.advance(25.0)
    strike(world, ServerDies(at=25.0, pick=0.0))
    assert servers_in(world)[0].phase is ServerPhase.LOST
    assert world.ledger.by_outcome() == {Outcome.KILLED: 4}
    world.advance(26.0)
    assert not servers_in(world)


def test_a_server_that_stalls_is_lost_and_comes_back() -> None:
    world = a_world()
    serve(world)
    strike(world, ServerStalls(at=20.0, pick=0.0, seconds=8.0))
    world.advance(26.0)
    assert servers_in(world)[0].phase is ServerPhase.LOST
    world.advance(29.0)
    assert servers_in(world)[0].phase is ServerPhase.READY


def test_a_server_that_stalls_for_long_is_ended() -> None:
    world = a_world()
    serve(world)
    strike(world, ServerStalls(at=20.0, pick=0.0, seconds=100.0))
    world.advance(33.0)
    assert not servers_in(world)


def test_a_server_that_hangs_at_its_start_never_gets_ready_and_can_be_dismissed() -> None:
    world = a_world()
    strike(world, ServerHangsAtStart(at=0.0))
    world.act([a_resize(1)])
    world.advance(50.0)
    (server,) = servers_in(world)
    assert server.phase is ServerPhase.STARTING
    world.act([a_resize(0, server.name)])
    assert not servers_in(world)


def test_missing_figures_and_a_silent_gateway_are_unknown_for_a_while() -> None:
    world = a_world()
    serve(world)
    strike(world, FiguresMissing(at=20.0, pick=0.0, seconds=5.0))
    strike(world, GatewaySilent(at=20.0, seconds=5.0))
    world.advance(22.0)
    seen = world.observe()
    assert (seen.demand, seen.routes_acknowledged, seen.servers[0].holdings[0].waiting) == (None, None, None)
    world.advance(27.0)
    seen = world.observe()
    assert seen.demand is not None
    assert seen.routes_acknowledged is not None
    assert seen.servers[0].holdings[0].waiting == 0


def test_a_load_fails_as_often_as_it_was_told_to() -> None:
    world = a_world()
    strike(world, LoadsFail(at=0.0, pick=0.0, count=1))
    holding = serve(world).holdings[0]
    assert (holding.phase, holding.reason) == (HoldingPhase.FAILED, "the session could not be made: simulated fault")


def test_all_faults_end_with_the_busy_time() -> None:
    world = a_world()
    plan_disasters(world, [ActionsLost(at=0.0, seconds=100.0, share=1.0), ServerHangsAtStart(at=0.0)], 5.0)
    world.advance(6.0)
    world.act([a_resize(1)])
    world.advance(9.0)
    assert servers_in(world)[0].phase is ServerPhase.READY
    end_all(world)


def test_an_artifact_that_was_collected_is_gone() -> None:
    world = a_world()
    serve(world)
    world.act([CollectArtifact(namespace="blue", digest=DIGEST)])
    assert not world.observe().artifacts


def test_a_status_is_written_to_the_deployment_that_it_was_meant_for_only() -> None:
    world = a_world()
    status = DeploymentStatus(observed_generation=1, revision=0, replicas=0, ready_replicas=0, selector="", summary="new")
    world.act([WriteStatus(address=DIGITS, uid="another", status=status)])
    assert world.observe().deployments[0].status is None
    world.act([WriteStatus(address=DIGITS, uid=world.deployments[DIGITS].uid, status=status)])
    assert world.observe().deployments[0].status == status


class TestDelivery:
    def setup_method(self) -> None:
        self.happened: list[Action] = []
        self.delivery = Delivery(Timeline(BEGINNING), random.Random(1), self.happened.append)

    def send(self, *actions: Action) -> None:
        for action in actions:
            self.delivery.send(action)

    def test_lost_actions_never_happen(self) -> None:
        self.delivery.lost = ActionsLost(at=0.0, seconds=1.0, share=1.0)
        self.send(a_resize(1))
        assert not self.happened

    def test_late_actions_happen_later(self) -> None:
        self.delivery.late = ActionsLate(at=0.0, seconds=1.0, share=1.0, late_s=3.0)
        self.send(a_resize(1))
        assert not self.happened
        self.delivery.timeline.advance(BEGINNING + 3.0)
        assert self.happened == [a_resize(1)]

    def test_doubled_actions_happen_again(self) -> None:
        self.delivery.doubled = ActionsDoubled(at=0.0, seconds=1.0, share=1.0, again_s=3.0)
        self.send(a_resize(1))
        self.delivery.timeline.advance(BEGINNING + 3.0)
        assert self.happened == [a_resize(1), a_resize(1)]

    def test_a_late_action_does_not_overtake_a_newer_one_for_the_same_object(self) -> None:
        self.delivery.late = ActionsLate(at=0.0, seconds=1.0, share=1.0, late_s=3.0)
        old, other = SetRoutes(routes=(a_route(state=RouteState.HELD),)), a_resize(1)
        self.send(old, other)
        self.delivery.late = None
        self.send(SetRoutes(routes=()))
        self.delivery.timeline.advance(BEGINNING + 3.0)
        assert self.happened == [SetRoutes(routes=()), other]


def test_the_same_story_takes_the_same_course() -> None:
    load = Load(at=0.0, until=60.0, address=DIGITS, arrivals=Even(3.0))
    first, second = a_world(loads=(load,)), a_world(loads=(load,))
    assert serve(first) == serve(second)
    first.advance(60.0)
    second.advance(60.0)
    assert first.ledger.waited == second.ledger.waited
    assert first.observe() == second.observe()
    assert POOL.device == DEVICE
