"""Each invariant names what broke, and says nothing of what is right."""

from dataclasses import replace

import pytest

from forebay_operator.domain.actions import CollectArtifact, SetRoutes
from forebay_operator.domain.deployment import Autoscaling
from forebay_operator.domain.fleet import ReplicaKey
from forebay_operator.domain.routes import Route, RouteState, WeightedVersion
from forebay_operator.domain.snapshot import HoldingPhase, ServerPhase
from forebay_operator.domain.status import DeploymentStatus, ScalingDecision, ScalingStatus
from forebay_operator.worlds.simulated.invariants import RULES, check
from forebay_operator.worlds.simulated.moment import Moment
from forebay_schema.addresses import ModelAddress
from simulation_builders import DIGITS, GIB, a_resize, a_route, a_spec
from simulation_moments import (
    A,
    B,
    a_deployment,
    a_holding,
    a_moment,
    a_seen_server,
    a_status,
    a_write,
    load_order,
    unload_order,
)

HELD = a_route(state=RouteState.HELD)
OTHER = ModelAddress("blue", "other")
STOPPED = a_route(state=RouteState.STOPPED)
TO_ZERO = a_spec(autoscaling=Autoscaling(min_replicas=0, max_replicas=3, idle_timeout_s=60.0))
ONE_TO_THREE = a_spec(autoscaling=Autoscaling(min_replicas=1, max_replicas=3))
READY_1, READY_2 = a_seen_server("a", a_holding(1)), a_seen_server("b", a_holding(2))
BIG = a_holding(1, footprint=10 * GIB)
TWO_REVISIONS = a_deployment(status=a_status(2, 1, memory=10 * GIB))
CROWDED = (a_seen_server("a", BIG), a_seen_server("b", a_holding(7, model="other", footprint=10 * GIB)))


def a_told_status(*decisions: tuple[int, int]) -> DeploymentStatus:
    """A status that tells of these decisions: from so many to so many replicas."""
    told = tuple(
        ScalingDecision(time=float(time), from_replicas=before, to_replicas=after, reason="")
        for time, (before, after) in enumerate(decisions)
    )
    return replace(a_status(1), scaling=ScalingStatus(wanted=decisions[-1][1], queue_depth=0.0, decisions=told))


SOUND = {
    "nothing is there and nothing is ordered": a_moment(routes=(HELD,)),
    "a replica is loaded into free room": a_moment(load_order(), servers=(a_seen_server(),), routes=(HELD,)),
    "a ready replica is routed to": a_moment(servers=(READY_1,), routes=(a_route(A),)),
    "a relieved revision is unloaded": a_moment(
        unload_order(1), deployment=TWO_REVISIONS, servers=(READY_1, READY_2), routes=(a_route(B, version=2),)
    ),
    "an idle model goes to zero": a_moment(
        a_write(a_status(1, wanted=0)), deployment=a_deployment(TO_ZERO), routes=(HELD,), last_arrival=900.0, said=1
    ),
    "the last replica of a model at zero is unloaded, though a request has come": a_moment(
        unload_order(),
        deployment=a_deployment(TO_ZERO, status=a_status(1, wanted=0)),
        servers=(READY_1,),
        routes=(HELD,),
        last_arrival=999.0,
    ),
    "a stopped model is unloaded": a_moment(
        unload_order(), deployment=a_deployment(a_spec(stopped=True)), servers=(READY_1,), routes=(STOPPED,)
    ),
    "a deleted model is unloaded": a_moment(
        unload_order(), deployment=a_deployment(deleting=True), servers=(READY_1,), routes=()
    ),
    "a revision is swapped out where both have no room": a_moment(
        unload_order(), deployment=TWO_REVISIONS, servers=CROWDED, routes=(HELD,)
    ),
    "a revision is swapped out where the room beside is what another model waits for": replace(
        a_moment(unload_order(), deployment=TWO_REVISIONS, servers=(CROWDED[0], a_seen_server("b")), routes=(HELD,)),
        snapshot=replace(
            a_moment(deployment=TWO_REVISIONS, servers=(CROWDED[0], a_seen_server("b"))).snapshot,
            deployments=(TWO_REVISIONS, replace(a_deployment(status=a_status(1, wanted=1)), address=OTHER, uid="other")),
            routes=(a_route(state=RouteState.HELD),),
        ),
        actions=(unload_order(), SetRoutes(routes=(HELD, replace(HELD, address=OTHER)))),
    ),
    "an order to unload is given again": a_moment(
        unload_order(), servers=(READY_1,), routes=(HELD,), acknowledged=None, given_before=(ReplicaKey("a", "digits", 1),)
    ),
    "bounds are kept": a_moment(a_write(a_status(1, wanted=3)), deployment=a_deployment(ONE_TO_THREE), routes=(HELD,)),
    "what was wanted stays while demand is unknown": a_moment(
        a_write(a_status(1, wanted=2)), deployment=a_deployment(ONE_TO_THREE), routes=(HELD,), known_demand=False, said=2
    ),
    "decisions follow one another": a_moment(
        a_write(a_told_status((0, 1), (1, 3))), deployment=a_deployment(ONE_TO_THREE), routes=(HELD,)
    ),
    "without memory what the status wants is placed": a_moment(
        load_order(),
        deployment=a_deployment(status=a_status(1, wanted=1)),
        servers=(a_seen_server(),),
        routes=(HELD,),
        with_memory=(),
    ),
    "without memory more is placed for what is held": a_moment(
        load_order(), servers=(a_seen_server(),), routes=(HELD,), with_memory=(), held=5
    ),
    "without memory more is placed for what waits at a replica": a_moment(
        load_order(server="b"),
        servers=(a_seen_server("a", replace(a_holding(), waiting=4)), a_seen_server("b")),
        routes=(a_route(A),),
        with_memory=(),
    ),
    "without memory the same is ordered": a_moment(
        load_order(), servers=(a_seen_server(),), routes=(HELD,), with_memory=(load_order(),)
    ),
}

BROKEN: dict[str, tuple[str, str, Moment]] = {
    "a device is too small for what is ordered": (
        "1 memory",
        "are taken when it loads blue/digits version 2 beside what it holds",
        a_moment(load_order(2), deployment=TWO_REVISIONS, servers=CROWDED, routes=(HELD,)),
    ),
    "two orders of one step do not fit together": (
        "1 memory",
        "blue/digits version 1, blue/digits version 2",
        a_moment(load_order(1), load_order(2), deployment=TWO_REVISIONS, servers=(a_seen_server(),), routes=(HELD,)),
    ),
    "a server is ordered to load that does not exist": (
        "1 memory",
        "onto a, which does not exist",
        a_moment(load_order(), routes=(HELD,)),
    ),
    "more servers are wanted than there are devices": (
        "1 capacity",
        "3 servers of simulated are wanted in all, and there can be 2",
        a_moment(a_resize(2), servers=(a_seen_server(phase=ServerPhase.LOST),), routes=(HELD,)),
    ),
    "the last replica is unloaded": (
        "2 last replica",
        "1 are to serve, and no newer revision takes their place",
        a_moment(unload_order(), servers=(READY_1,), routes=(HELD,)),
    ),
    "the last replica goes with its server": (
        "2 last replica",
        "blue/digits: its last ready replicas (of version [1]) are unloaded",
        a_moment(a_resize(0, "a"), servers=(READY_1,), routes=(HELD,)),
    ),
    "a model that is asked goes to zero": (
        "2 idle",
        "none is wanted, its newest request came 10.0 s ago, idleTimeout is 60.0 s",
        a_moment(a_write(a_status(1, wanted=0)), deployment=a_deployment(TO_ZERO), routes=(HELD,), last_arrival=990.0, said=1),
    ),
    "a revision is swapped out although there is room": (
        "2 last replica",
        "revision 2 (4294967296 bytes) has room beside: a has 12884901888 bytes free",
        a_moment(unload_order(), deployment=a_deployment(status=a_status(2, 1)), servers=(READY_1,), routes=(HELD,)),
    ),
    "a replica is unloaded that requests still go to": (
        "2 drain",
        "requests are still routed there",
        a_moment(
            unload_order(1),
            deployment=TWO_REVISIONS,
            servers=(READY_1, READY_2),
            routes=(a_route(B, version=2),),
            acknowledged=(a_route(A),),
        ),
    ),
    "a replica is unloaded while it is unknown what is routed": (
        "2 drain",
        "it is unknown what gateways route by",
        a_moment(
            unload_order(1),
            deployment=TWO_REVISIONS,
            servers=(READY_1, READY_2),
            routes=(a_route(B, version=2),),
            acknowledged=None,
        ),
    ),
    "a model has no route": ("3 routes", "it has no route", a_moment()),
    "a serving model is refused": ("3 routes", "its route is stopped", a_moment(routes=(STOPPED,))),
    "weights do not add up": (
        "3 routes",
        "its weights are [60], which add up to 60",
        a_moment(
            servers=(READY_1,),
            routes=(Route(address=DIGITS, state=RouteState.ROUTED, versions=(WeightedVersion(1, 60, (A,)),)),),
        ),
    ),
    "a server is routed to that is lost": (
        "3 routes",
        "version 1 is routed to port 1, where it is not ready",
        a_moment(servers=(a_seen_server("a", a_holding(), phase=ServerPhase.LOST),), routes=(a_route(A),)),
    ),
    "a replica is routed to that loads": (
        "3 routes",
        "version 1 is routed to port 1, where it is not ready",
        a_moment(
            SetRoutes(routes=(a_route(A),)),
            servers=(a_seen_server("a", a_holding(phase=HoldingPhase.LOADING)),),
            routes=(HELD,),
        ),
    ),
    "a routed replica is gone while its server answers": (
        "6 older order",
        "a let go of version 1, which is routed there",
        a_moment(SetRoutes(routes=(HELD,)), servers=(a_seen_server(),), routes=(a_route(A),)),
    ),
    "an artifact is collected that a status names": (
        "4 artifacts",
        "artifact digest-1 of blue is deleted, and a status names it",
        a_moment(CollectArtifact(namespace="blue", digest="digest-1"), routes=(HELD,)),
    ),
    "a replica is loaded and unloaded at once": (
        "6 one writer",
        "2 orders in one step for ('replica', 'a', 'blue/digits', 1)",
        a_moment(load_order(), unload_order(), servers=(a_seen_server(),), routes=(HELD,)),
    ),
    "a status is written that is what it was": (
        "6 one writer",
        "a status is written that is what it was",
        a_moment(a_write(a_status(1)), routes=(HELD,)),
    ),
    "a status is written for another": (
        "6 one writer",
        "for a ModelDeployment that is not there",
        a_moment(a_write(a_status(2), uid="old"), routes=(HELD,)),
    ),
    "a replica is unloaded because memory was lost": (
        "7 memory lost",
        "version 1 is unloaded from a because memory was lost",
        a_moment(
            unload_order(1),
            deployment=TWO_REVISIONS,
            servers=(READY_1, READY_2),
            routes=(a_route(B, version=2),),
            with_memory=(),
        ),
    ),
    "a replica is placed because memory was lost": (
        "7 memory lost",
        "1 replicas of version 1 are ordered because memory was lost",
        a_moment(load_order(), servers=(a_seen_server(),), routes=(HELD,), with_memory=()),
    ),
    "a server ends because memory was lost": (
        "7 memory lost",
        "['a'] of pool blue/simulated end because memory was lost",
        a_moment(a_resize(0, "a"), servers=(a_seen_server(),), routes=(HELD,), with_memory=()),
    ),
    "too many replicas are wanted": (
        "8 bounds",
        "4 replicas are wanted, and 1 to 3 are allowed",
        a_moment(a_write(a_status(1, wanted=4)), deployment=a_deployment(ONE_TO_THREE), routes=(HELD,)),
    ),
    "a decision is told twice": (
        "8 decisions",
        "a decision to have 1 is followed by one from 0",
        a_moment(a_write(a_told_status((0, 1), (0, 1))), deployment=a_deployment(ONE_TO_THREE), routes=(HELD,)),
    ),
    "a decision changes nothing": (
        "8 decisions",
        "a decision is told that changes nothing",
        a_moment(a_write(a_told_status((1, 1))), deployment=a_deployment(ONE_TO_THREE), routes=(HELD,)),
    ),
    "a model is scaled while demand is unknown": (
        "8 unknown",
        "wanted goes from 3 to 2 while demand is unknown",
        a_moment(
            a_write(a_status(1, wanted=2)),
            deployment=a_deployment(ONE_TO_THREE),
            routes=(HELD,),
            known_demand=False,
            said=3,
        ),
    ),
}


@pytest.mark.parametrize("moment", SOUND.values(), ids=list(SOUND))
def test_nothing_is_said_of_what_is_right(moment: Moment) -> None:
    assert check(moment) == []


@pytest.mark.parametrize(("rule", "words", "moment"), BROKEN.values(), ids=list(BROKEN))
def test_what_broke_is_named(rule: str, words: str, moment: Moment) -> None:
    violations = check(moment)
    assert {violation.rule for violation in violations} == {rule}
    assert any(words in violation.sentence for violation in violations)


def test_every_rule_is_shown_to_be_broken_once() -> None:
    assert {rule for rule, _, _ in BROKEN.values()} == set(RULES)
