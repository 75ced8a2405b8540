from dataclasses import replace

from forebay_operator.domain.deployment import Autoscaling, Deployment, DeploymentSpec, Source
from forebay_operator.domain.revisions import identify
from forebay_operator.domain.routes import Endpoint, Route, RouteState
from forebay_operator.domain.snapshot import (
    Conversion,
    ConversionFailure,
    ConversionPhase,
    DeviceClass,
    GatewayDemand,
    Holding,
    HoldingPhase,
    Pool,
    Server,
    ServerPhase,
    Snapshot,
)
from forebay_operator.domain.status import Condition, ConditionStatus, ConditionType, DeploymentStatus
from forebay_operator.worlds.explanation import Chapter
from forebay_operator.worlds.local.explanation import explain
from forebay_schema.addresses import ModelAddress

DIGITS = ModelAddress("default", "digits")
DEPLOYMENT = Deployment(
    address=DIGITS,
    uid="u",
    generation=1,
    spec=DeploymentSpec(source=Source(uri="/digits.joblib", format="sklearn"), autoscaling=Autoscaling(max_replicas=4)),
)
SERVER = Server(
    name="simulated-0-ab",
    pool=Pool(namespace="default", device=DeviceClass(kind="simulated", name="simulated", memory_bytes=1 << 30)),
    phase=ServerPhase.READY,
    started_at=0.0,
    endpoint=Endpoint("127.0.0.1", 1, 2),
    holdings=(
        Holding(model="digits", version=2, phase=HoldingPhase.READY, footprint_bytes=1 << 20, waiting=3, executing=1),
        Holding(model="other", version=1, phase=HoldingPhase.READY),
    ),
)


def chapters(snapshot: Snapshot, deployment: Deployment = DEPLOYMENT) -> dict[str, tuple[str, ...]]:
    return {chapter.title: chapter.lines for chapter in explain(deployment, snapshot)}


def test_the_chain_has_four_links_and_says_what_was_asked() -> None:
    told = explain(DEPLOYMENT, Snapshot(now=0.0))

    assert [chapter.title for chapter in told] == ["Asked", "Seen", "Decided", "Missing"]
    assert told[0] == Chapter(
        "Asked",
        (
            "serve /digits.joblib (sklearn)",
            "0 to 4 replicas, 4 waiting requests each, fewer after 60 s, none after 5 min without requests",
            "on any device",
        ),
    )


def test_a_conversion_that_failed_says_where_and_why() -> None:
    failure = ConversionFailure(stage="load", cause="It is no pickle.", remedy="Give another file.")
    key = identify("default", DEPLOYMENT.spec).conversion
    failed = Conversion(id=key, phase=ConversionPhase.FAILED, attempt=2, failure=failure)

    told = chapters(Snapshot(now=0.0, conversions=(failed,)))

    assert "conversion failed (attempt 2) at load: It is no pickle" in told["Seen"]


def test_only_the_servers_that_hold_the_model_are_named_and_those_in_trouble() -> None:
    lost = replace(SERVER, name="simulated-1-cd", phase=ServerPhase.LOST, holdings=(), message="it ended with status 1")

    told = chapters(Snapshot(now=0.0, servers=(SERVER, lost)))["Seen"]

    assert "simulated-0-ab (ready) holds revision 2: ready, 1 MiB, 3 waiting, 1 in execution" in told
    assert "server simulated-1-cd: it ended with status 1" in told
    assert not any("other" in line for line in told)


def test_unknown_demand_is_not_told_as_none() -> None:
    demand = {DIGITS: GatewayDemand(held=2, in_flight=1, arrivals=9)}

    assert "the gateway does not answer" in chapters(Snapshot(now=0.0))["Seen"][-1]
    assert chapters(Snapshot(now=0.0, demand={}))["Seen"][-1] == "no request so far"
    assert chapters(Snapshot(now=0.0, demand=demand))["Seen"][-1] == "9 requests so far, 1 in flight, 2 held at the gateway"


def test_held_requests_are_told_by_the_route() -> None:
    route = Route(address=DIGITS, state=RouteState.HELD)

    assert (
        "requests are held at the gateway until a replica is ready" in chapters(Snapshot(now=0.0, routes=(route,)))["Decided"]
    )


def test_before_the_first_step_that_is_what_is_missing() -> None:
    assert chapters(Snapshot(now=0.0))["Missing"] == ("the first look of the controller",)


def test_a_reason_is_told_once_as_what_is_missing() -> None:
    why = "Revision 1: its conversion failed at load: It is no pickle. Give another file."
    conditions = tuple(
        Condition(type=kind, status=status, reason="Reason", message=message, observed_generation=1, last_transition=0.0)
        for kind, status, message in (
            (ConditionType.CONVERTED, ConditionStatus.FALSE, why),
            (ConditionType.PLACED, ConditionStatus.TRUE, "It fits."),
            (ConditionType.READY, ConditionStatus.FALSE, why),
        )
    )
    status = DeploymentStatus(
        observed_generation=1,
        revision=1,
        replicas=0,
        ready_replicas=0,
        selector="",
        summary=f"Not ready: {why}",
        conditions=conditions,
    )
    failure = ConversionFailure(stage="load", cause="It is no pickle.", remedy="Give another file.")
    key = identify("default", DEPLOYMENT.spec).conversion
    failed = Conversion(id=key, phase=ConversionPhase.FAILED, attempt=1, failure=failure)

    told = chapters(Snapshot(now=0.0, conversions=(failed,)), replace(DEPLOYMENT, status=status))

    assert told["Missing"] == (why,)
    assert "conversion failed (attempt 1) at load" in told["Seen"]
    assert "Placed: It fits." in told["Decided"]
    assert sum("It is no pickle" in line for lines in told.values() for line in lines) == 1
