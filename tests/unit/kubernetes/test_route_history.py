from dataclasses import replace

from forebay_operator.domain.deployment import Deployment, DeploymentSpec, Source
from forebay_operator.domain.routes import Endpoint, Route, RouteState, WeightedVersion, held, named, routed, stopped
from forebay_operator.domain.status import DeploymentStatus
from forebay_operator.worlds.kubernetes.models import Model
from forebay_operator.worlds.kubernetes.routes import RouteHistory
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.addresses import ModelAddress

ADDRESS = ModelAddress("default", "digits")
ONE, TWO = Endpoint("10.0.0.1", 8000, 8001), Endpoint("10.0.0.2", 8000, 8001)
_SPEC = DeploymentSpec(source=Source(uri="s3://m/m.onnx"))
_STATUS = DeploymentStatus(observed_generation=1, revision=1, replicas=1, ready_replicas=1, selector="", summary="")


def a_model(version: int, *endpoints: Endpoint, revision: int = 1, name: str = "digits", is_stopped: bool = False) -> Model:
    traffic = (WeightedVersion(revision, 100, endpoints),) if endpoints else ()
    deployment = Deployment(
        address=ModelAddress("default", name),
        uid="uid",
        generation=1,
        spec=replace(_SPEC, stopped=is_stopped),
        status=replace(_STATUS, traffic=traffic),
    )
    metadata = {"name": name, "namespace": "default", "uid": "uid", "resourceVersion": str(version)}
    return Model(Seen.of({"metadata": metadata}), deployment)


def test_statuses_are_the_route_table() -> None:
    history = RouteHistory()
    history.follow((a_model(10, ONE), a_model(11, name="idle"), a_model(12, name="off", is_stopped=True)))
    assert history.table() == (
        routed(ADDRESS, 1, [ONE]),
        held(ModelAddress("default", "idle")),
        stopped(ModelAddress("default", "off"), ""),
    )


def test_the_reason_that_was_asked_for_is_remembered_beside_what_the_status_says() -> None:
    history = RouteHistory()
    history.asked([stopped(ADDRESS, "It is stopped.")])
    history.follow((a_model(10, is_stopped=True),))
    assert history.table() == (stopped(ADDRESS, "It is stopped."),)
    history.follow((a_model(11, ONE),))
    assert history.table() == (routed(ADDRESS, 1, [ONE]),)


def test_what_gateways_may_still_follow_is_named_until_all_have_come_further() -> None:
    history = RouteHistory()
    history.follow((a_model(10, ONE),))
    history.follow((a_model(20, TWO, revision=2),))
    assert _named(history, 10) == {(1, ONE), (2, TWO)}
    assert _named(history, 19) == {(1, ONE), (2, TWO)}
    assert _named(history, 20) == {(2, TWO)}
    # What was left behind is forgotten: gateways do not go back.
    assert _named(history, 30) == {(2, TWO)}


def test_of_a_model_whose_route_a_gateway_refuses_all_routes_may_still_be_followed() -> None:
    history = RouteHistory()
    history.follow((a_model(10, ONE),))
    history.follow((a_model(20, TWO, revision=2),))
    assert named(history.acknowledged(30, {ADDRESS}) or ())[ADDRESS] == {(1, ONE), (2, TWO)}
    assert _named(history, 30) == {(2, TWO)}


def test_before_gateways_have_come_to_where_this_operator_began_nothing_is_known() -> None:
    history = RouteHistory()
    history.follow((a_model(10, ONE),))
    assert history.acknowledged(9) is None
    assert history.acknowledged(None) is None
    assert _named(history, 10) == {(1, ONE)}


def test_a_change_that_is_none_of_the_route_makes_no_new_entry() -> None:
    history = RouteHistory()
    history.follow((a_model(10, ONE),))
    history.follow((a_model(50, ONE),))
    assert _named(history, 10) == {(1, ONE)}


def test_a_gateway_that_never_moves_makes_the_answer_wider_and_not_longer() -> None:
    history = RouteHistory()
    ends = [Endpoint(f"10.0.1.{number}", 8000, 8001) for number in range(100)]
    for number, end in enumerate(ends):
        history.follow((a_model(10 + number, end),))
    routes = history.acknowledged(10)
    assert routes is not None
    assert [route.state for route in routes] == [RouteState.ROUTED]
    assert {(1, end) for end in ends} == named(routes)[ADDRESS]


def _named(history: RouteHistory, version: int) -> set[tuple[int, Endpoint]]:
    routes: tuple[Route, ...] | None = history.acknowledged(version)
    assert routes is not None
    return set(named(routes)[ADDRESS])
