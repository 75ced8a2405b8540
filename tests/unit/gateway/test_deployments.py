"""What a ModelDeployment says of its route."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.cluster.deployments import Deployments, route_of
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import HoldLimits
from gateway_api_server import deployment

HOLD = HoldLimits(seconds=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["traffic", "revision", "weight", "endpoints", "host", "http", "grpc", "stopped"]), inner
        )
    ),
    max_leaves=12,
)


def test_traffic_in_the_status_is_routed_to() -> None:
    route = route_of(deployment("digits", 1, port=8000), HOLD)
    assert (route.state, route.address, route.hold) == ("routed", ModelAddress("team-a", "digits"), HOLD)
    [version] = route.versions
    assert (version.version, version.weight, version.endpoints[0].grpc) == (1, 100, 8001)


@pytest.mark.parametrize("status", [None, {}, {"traffic": None}, {"traffic": []}])
def test_without_traffic_requests_wait(status: Any) -> None:
    content = {**deployment("digits", 1), "status": status}
    assert route_of(content, HOLD).state == "held"
    del content["status"]
    assert route_of(content, HOLD).state == "held"


def test_a_stopped_model_is_stopped_whatever_its_status_says() -> None:
    assert route_of(deployment("digits", 1, stopped=True, port=8000), HOLD).state == "stopped"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ({"weight": 100}, "makes no sense"),
        ({"revision": 1, "weight": 300}, "weight"),
        ({"revision": 1, "weight": 100, "endpoints": [{"host": "10.0.0.1"}]}, "http"),
        ({"revision": 1, "weight": 100, "endpoints": [{"host": "10.0.0.1", "http": 0, "grpc": 1}]}, "port 0"),
        ("revision", "makes no sense"),
    ],
)
def test_traffic_that_makes_no_sense_is_named(share: Any, said: str) -> None:
    content = deployment("digits", 1)
    content["status"]["traffic"] = [share]
    with pytest.raises(ValueError, match=said):
        route_of(content, HOLD)


@given(spec=JSON, status=JSON)
def test_whatever_an_object_says_the_others_are_followed(spec: Any, status: Any) -> None:
    deployments = Deployments(HOLD, lambda: None)
    odd = {**deployment("odd", 2), "spec": spec, "status": status}
    good = deployment("good", 1, port=8000)
    deployments.replace([good, odd], 3)
    assert deployments.routes[ModelAddress("team-a", "good")].state == "routed"
    assert ModelAddress("team-a", "odd") in deployments.routes
    assert deployments.version == 3


def test_a_listing_that_says_the_same_leaves_the_routes_the_same() -> None:
    deployments = Deployments(HOLD, lambda: None)
    contents = [deployment("digits", 1, port=8000), deployment("faces", 2)]
    deployments.replace(contents, 3)
    routes = deployments.routes
    deployments.replace(contents, 9)
    assert deployments.routes is routes
    deployments.take({"type": "MODIFIED", "object": deployment("faces", 11)})
    assert deployments.routes is routes
    assert deployments.version == 11
