from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.routing import RouteTableError, index_of, primary, serving, shares
from forebay_gateway.xds.routes import Share
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Endpoint, Route, RouteTable, WeightedVersion
from gateway_xds import index, route

A = ModelAddress(namespace="default", name="a")


@pytest.mark.parametrize("state", ["held", "stopped"])
def test_only_a_routed_model_gets_traffic(state: str) -> None:
    entry = route("a", (1, 100, 8000), state=state)
    assert serving(entry) == ()
    assert primary(entry) is None
    assert index(entry).replicas(A) == 0


def test_versions_without_weight_or_endpoint_get_no_traffic() -> None:
    empty = WeightedVersion(version=3, weight=50, endpoints=())
    entry = route("a", (1, 0, 8000), (2, 50, 9000))
    entry = entry.model_copy(update={"versions": (*entry.versions, empty)})
    assert [version.version for version in serving(entry)] == [2]
    assert shares(entry) == ()


def test_the_version_of_greatest_weight_is_primary_and_of_equals_the_newest() -> None:
    assert primary(route("a", (1, 90, 8000), (2, 10, 9000))).version == 1  # type: ignore[union-attr]  # there is one
    assert primary(route("a", (1, 50, 8000), (2, 50, 9000))).version == 2  # type: ignore[union-attr]  # there is one


def test_a_server_that_holds_two_versions_is_one_replica() -> None:
    assert index(route("a", (1, 50, 8000), (2, 50, 8000))).replicas(A) == 1
    assert index(route("a", (1, 50, 8000), (2, 50, 9000))).replicas(A) == 2
    assert index().replicas(A) == 0


@given(st.lists(st.integers(1, 100), min_size=2, max_size=6))
def test_shares_add_up_to_100_and_keep_the_proportions(weights: list[int]) -> None:
    parts = shares(route("a", *((number, weight, 8000) for number, weight in enumerate(weights))))
    assert sum(part.weight for part in parts) == 100
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.weight - 100 * weight / sum(weights)) <= len(weights)


def test_the_share_of_a_version_without_endpoint_goes_to_the_others() -> None:
    entry = route("a", (1, 30, 8000), (2, 30, 9000))
    assert shares(entry) == (Share(1, 50), Share(2, 50))


def bad_endpoint(**fields: Any) -> Route:
    endpoint = Endpoint.model_validate({"host": "10.0.0.1", "http": 8000, "grpc": 8001, **fields})
    versions = (WeightedVersion(version=1, weight=100, endpoints=(endpoint,)),)
    return Route(namespace="default", name="a", state="routed", versions=versions)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (RouteTable(default_namespace='x"'), "default namespace 'x\"' is no DNS label"),
        (RouteTable(routes=(route("a"), route("a"))), "model default/a has two routes"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: RouteTable, complaint: str) -> None:
    with pytest.raises(RouteTableError, match=complaint):
        index_of(table)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (route("a", (1, 50, 8000), (1, 50, 9000)), "a version is listed twice"),
        (bad_endpoint(host="server-1"), "endpoint host 'server-1' is no IP address"),
        (bad_endpoint(grpc=0), "endpoint port 0 is not between 1 and 65535"),
    ],
)
def test_requests_for_a_model_whose_route_envoy_would_refuse_wait_and_the_others_are_served(
    bad: Route, complaint: str
) -> None:
    good = route("b", (1, 100, 8000))
    served = index_of(RouteTable(routes=(bad, good)))
    assert served.routes == {A: route("a"), good.address: good}
    assert served.unusable == {A: complaint}


def test_an_index_has_the_table_s_digest() -> None:
    table = RouteTable(routes=(route("a"),))
    assert index_of(table).mark == table.digest()


@pytest.mark.parametrize("name", ["densenet_onnx", "ResNet50", "yolo.v8", "x" * 200])
def test_a_model_that_only_a_path_can_name_is_routed(name: str) -> None:
    assert list(index(route(name)).routes) == [ModelAddress(namespace="default", name=name)]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (route("a/b"), "default/a/b"),
        (route('x"] = 1'), "default/x"),
        (route("../b"), "default/../b"),
        (route(""), "default/"),
        (route("a", namespace="Team_A"), "Team_A/a"),
    ],
)
def test_an_entry_that_nobody_could_name_is_left_out_and_the_others_are_served(bad: Route, named: str) -> None:
    table = RouteTable(routes=(bad, route("a")))
    served = index_of(table)
    assert (list(served.routes), served.mark) == ([A], table.digest())
    [complaint] = served.left_out
    assert named in complaint
