from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.settings import Sockets
from forebay_gateway.xds.built import Built
from forebay_gateway.xds.messages import message_class
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Route
from gateway_xds import index, route

ASSIGNMENT = message_class("envoy.config.endpoint.v3.ClusterLoadAssignment")
SOCKETS = Sockets(Path("/run"))
ROUTES = st.builds(
    lambda name, versions: route(name, *versions),
    st.sampled_from("abcd"),
    st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from([0, 50, 100]), st.sampled_from([8000, 9000])),
        max_size=2,
        unique_by=lambda each: each[0],
    ),
)
TABLES = st.lists(ROUTES, max_size=4, unique_by=lambda each: each.address)


def test_only_what_changes_is_built() -> None:
    built, stays = Built(SOCKETS), route("a", (1, 100, 8000))
    assert {cluster.name for cluster, _ in built.follow(index(stays))} == {"h/default/a", "g/default/a"}
    before = built.route()
    assert {cluster.name for cluster, _ in built.follow(index(stays, route("b")))} == {"h/default/b", "g/default/b"}
    assert built.follow(index(stays, route("b"))) == []
    assert built.route() is before


def test_the_generic_route_changes_with_a_rollout_and_back() -> None:
    built = Built(SOCKETS)
    built.follow(index(route("a", (1, 100, 8000))))
    plain = built.route()
    built.follow(index(route("a", (1, 50, 8000), (2, 50, 9000))))
    assert built.route() != plain
    assert "h/default/a/2" in built.clusters
    built.follow(index(route("a", (2, 100, 9000))))
    assert built.route() == plain
    assert "h/default/a/2" not in built.clusters


@given(st.lists(TABLES, min_size=1, max_size=5))
def test_whatever_came_before_a_table_has_what_it_has_alone(tables: list[list[Route]]) -> None:
    built, alone = Built(SOCKETS), Built(SOCKETS)
    for table in tables:
        built.follow(index(*table))
    alone.follow(index(*tables[-1]))
    assert built.clusters == alone.clusters
    assert built.route() == alone.route()
    assert all((ModelAddress("default", name) in built) == (ModelAddress("default", name) in alone) for name in "abcd")


def test_in_a_surge_a_model_s_requests_come_to_the_holder_first_and_go_to_its_replicas_next() -> None:
    built, table = Built(SOCKETS), index(route("a", (1, 100, 8000)), route("b", (1, 100, 9000)))
    built.follow(table)
    calm = dict(built.clusters)
    surging = replace(table, surging=frozenset({ModelAddress("default", "a")}))
    assert {cluster.name for cluster, _ in built.follow(surging)} == {"h/default/a", "g/default/a"}
    assert [zones(built, "h/default/a"), zones(built, "g/default/b")] == [["holder", "replicas"], ["replicas", "holder"]]
    built.follow(table)
    assert built.clusters == calm


def zones(built: Built, name: str) -> list[str]:
    """Where requests go, by priority."""
    assignment = ASSIGNMENT()
    built.clusters[name][1].packed().Unpack(assignment)
    return [part.locality.zone for part in sorted(assignment.endpoints, key=lambda part: part.priority)]
