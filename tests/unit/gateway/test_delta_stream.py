from pathlib import Path

import pytest

from forebay_gateway.settings import Sockets
from forebay_gateway.xds.messages import CLUSTER, ENDPOINTS, ROUTE
from forebay_gateway.xds.resources import clusters_of, generic_route
from forebay_gateway.xds.store import ResourceStore
from forebay_schema.routes import Route
from gateway_xds import EnvoyTwin, index, route

SOCKETS = Sockets(Path("/run"))


def fill(store: ResourceStore, *routes: Route) -> None:
    table = index(*routes)
    store.put(
        [
            generic_route(table.default_namespace, {}),
            *(resource for each in routes for pair in clusters_of(each, SOCKETS) for resource in pair),
        ]
    )


@pytest.fixture
def store() -> ResourceStore:
    store = ResourceStore()
    fill(store, route("a", (1, 100, 8000)), route("b"))
    return store


def test_a_new_envoy_is_sent_everything_clusters_first(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    assert envoy.clusters() == {
        "h/default/a": [(8000, "1")],
        "g/default/a": [(8001, "1")],
        "h/default/b": [],
        "g/default/b": [],
    }
    assert next(type_url for type_url, _ in envoy.received) == CLUSTER
    assert envoy.stream.settled


def test_an_envoy_that_has_not_answered_is_not_settled(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    assert not store.delivered
    envoy.receive()
    assert not store.delivered
    envoy.catch_up()
    assert store.delivered
    fill(store, route("a", (2, 100, 8000)))
    assert not store.delivered
    envoy.receive()
    assert not store.delivered
    envoy.acknowledge()
    assert store.delivered


def test_an_envoy_that_has_not_asked_for_a_cluster_s_endpoints_is_not_settled(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    fill(store, route("new", (1, 100, 9000)))
    envoy.receive()
    # Envoy has taken the cluster in, and will ask for its endpoints next.
    assert [names for type_url, names in envoy.received if type_url == CLUSTER][-1] == ("g/default/new", "h/default/new")
    assert not store.delivered
    envoy.catch_up()
    assert store.delivered


def test_only_what_changed_is_sent(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    envoy.received.clear()
    fill(store, route("a", (1, 100, 8000)), route("b", (1, 100, 9000)))
    envoy.catch_up()
    assert envoy.received == [(ENDPOINTS, ("g/default/b", "h/default/b"))]


def test_an_envoy_that_comes_back_is_sent_only_what_it_lacks(store: ResourceStore) -> None:
    first = EnvoyTwin(store)
    first.catch_up()
    first.leave()
    fill(store, route("a", (2, 100, 8000)))
    store.remove_clusters(["h/default/b", "g/default/b"])
    again = EnvoyTwin(store, known=first)
    again.catch_up()
    assert again.clusters() == {"h/default/a": [(8000, "2")], "g/default/a": [(8001, "2")]}
    sent = {name for _, names in again.received for name in names}
    assert sent == {"h/default/a", "g/default/a"}
    assert all(type_url != CLUSTER or not names for type_url, names in again.received)


def test_a_restarted_gateway_with_the_same_table_sends_nothing(store: ResourceStore) -> None:
    first = EnvoyTwin(store)
    first.catch_up()
    restarted = ResourceStore()
    fill(restarted, route("a", (1, 100, 8000)), route("b"))
    again = EnvoyTwin(restarted, known=first)
    again.catch_up()
    assert all(names == () for _, names in again.received)
    assert restarted.delivered


def test_a_withdrawn_cluster_is_removed(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    store.remove_clusters(["h/default/b", "g/default/b"])
    envoy.catch_up()
    assert set(envoy.clusters()) == {"h/default/a", "g/default/a"}
    assert store.delivered


def refused(store: ResourceStore) -> list[tuple[str, str]]:
    return sorted((refusal.type_url, refusal.name) for refusal in store.refusals)


def test_a_refusal_is_remembered_until_a_correction_is_accepted(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    fill(store, route("a", (2, 100, 8000)))
    envoy.receive()
    envoy.refuse("no")
    assert {refusal.reason for refusal in store.refusals} == {"no"}
    assert refused(store) == [(ENDPOINTS, "g/default/a"), (ENDPOINTS, "h/default/a")]
    assert not store.delivered
    fill(store, route("a", (3, 100, 8000)))
    envoy.catch_up()
    assert refused(store) == []
    assert store.accepted


def test_what_was_refused_along_with_others_is_told_from_them(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    envoy.dislikes = {"h/default/a"}
    fill(store, route("a", (2, 100, 8000)), route("b", (1, 100, 9000)))
    envoy.catch_up()
    assert envoy.clusters()["h/default/b"] == [(9000, "1")], "the others are served"
    assert refused(store) == [(ENDPOINTS, "h/default/a")]
    assert (store.delivered, store.accepted) == (True, False)


def test_what_was_refused_stays_so_when_something_else_is_accepted(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    envoy.dislikes = {"h/default/a"}
    fill(store, route("a", (2, 100, 8000)))
    envoy.catch_up()
    fill(store, route("b", (1, 100, 9000)))
    envoy.catch_up()
    assert refused(store) == [(ENDPOINTS, "h/default/a")]


def test_a_refused_resource_that_is_withdrawn_is_forgotten(store: ResourceStore) -> None:
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    envoy.dislikes = {"h/default/a"}
    fill(store, route("a", (2, 100, 8000)))
    envoy.catch_up()
    store.remove_clusters(["h/default/a"])
    envoy.catch_up()
    assert store.accepted


def test_an_envoy_with_nothing_to_get_is_answered_all_the_same() -> None:
    store = ResourceStore()
    store.put([generic_route("default", {})])
    envoy = EnvoyTwin(store)
    envoy.catch_up()
    assert envoy.received == [(CLUSTER, ()), (ROUTE, ("models",))]
    assert store.delivered
