import asyncio
from dataclasses import replace
from pathlib import Path

from forebay_gateway.routing import RouteIndex
from forebay_gateway.settings import Sockets
from forebay_gateway.xds.messages import CLUSTER, ROUTE
from forebay_gateway.xds.publisher import Publisher
from forebay_gateway.xds.store import ResourceStore
from forebay_schema.addresses import ModelAddress
from gateway_xds import EnvoyTwin, index, route

A, B = (ModelAddress(namespace="default", name=name) for name in "ab")
PORT_9101 = b"\x18\x8d\x47"
"""As endpoints have it on the wire: field 3 of a SocketAddress."""
BOTH = route("a", (1, 50, 8000), (2, 50, 9000))


class Stage:
    """A publisher with its store and what it has reported as published."""

    def __init__(self) -> None:
        self.store = ResourceStore()
        self.published: list[RouteIndex] = []
        self.publisher = Publisher(self.store, Sockets(Path("/run")), self.published.append)


async def turn() -> None:
    """Let everything that is due happen."""
    for _ in range(10):
        await asyncio.sleep(0)


async def settle(envoy: EnvoyTwin) -> None:
    for _ in range(8):
        await turn()
        envoy.catch_up()
    await turn()


async def test_a_table_is_complete_before_the_first_envoy_comes() -> None:
    stage = Stage()
    stage.publisher.publish(index(BOTH))
    assert stage.store.names(ROUTE) == {"models"}
    assert {"h/default/a", "h/default/a/1", "h/default/a/2"} <= stage.store.names(CLUSTER)
    await turn()
    assert stage.published == []
    stage.publisher.close()


async def test_a_table_is_published_when_envoy_has_answered_all_of_it() -> None:
    stage, table = Stage(), index(route("a", (1, 100, 8000)))
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(table)
    await turn()
    envoy.receive()
    await turn()
    assert stage.published == []
    await settle(envoy)
    assert stage.published == [table]
    stage.publisher.close()


async def test_each_new_envoy_that_has_the_table_is_told() -> None:
    stage, table = Stage(), index(route("a"))
    stage.publisher.publish(table)
    for _ in range(2):
        envoy = EnvoyTwin(stage.store)
        await settle(envoy)
        envoy.leave()
        await turn()
    assert stage.published == [table, table]
    stage.publisher.close()


async def test_a_rollout_s_clusters_come_before_its_route() -> None:
    stage = Stage()
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(index(route("a", (1, 100, 8000))))
    await settle(envoy)
    envoy.received.clear()
    stage.publisher.publish(index(BOTH))
    await turn()
    envoy.receive()
    await turn()
    envoy.receive()
    received = {type_url for type_url, _ in envoy.received}
    assert CLUSTER in received
    assert ROUTE not in received, "it waits for an answer"
    await settle(envoy)
    assert [type_url for type_url, _ in envoy.received][-1] == ROUTE
    stage.publisher.close()


async def test_after_a_rollout_its_clusters_follow_the_version_that_is_left() -> None:
    stage = Stage()
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(index(BOTH))
    await settle(envoy)
    assert envoy.clusters()["h/default/a/1"] == [(8000, "1")]
    stage.publisher.publish(index(route("a", (2, 100, 9000))))
    await settle(envoy)
    # A request that is in the old version's cluster may need a retry: version 1 may be gone by then.
    assert {name: replicas for name, replicas in envoy.clusters().items() if name.startswith("h")} == {
        "h/default/a": [(9000, "2")],
        "h/default/a/1": [(9000, "2")],
        "h/default/a/2": [(9000, "2")],
    }
    stage.publisher.close()


async def test_a_deleted_model_s_cluster_has_no_replica_and_comes_back_with_the_model() -> None:
    stage = Stage()
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(index(route("a", (1, 100, 8000))))
    await settle(envoy)
    stage.publisher.publish(index())
    await settle(envoy)
    assert envoy.clusters() == {"h/default/a": [], "g/default/a": []}
    stage.publisher.publish(index(route("a", (2, 100, 9000))))
    await settle(envoy)
    assert envoy.clusters()["h/default/a"] == [(9000, "2")]
    stage.publisher.close()


async def test_tables_that_come_while_one_is_on_its_way_hold_up_neither_it_nor_the_newest() -> None:
    stage, tables = Stage(), [index(route("a", (number, 100, 8000 + number))) for number in range(1, 6)]
    envoy = EnvoyTwin(stage.store)
    for table in tables[:4]:
        stage.publisher.publish(table)
        await turn()
        envoy.catch_up()
    # However fast they follow each other, some get through.
    assert stage.published
    assert all(each in tables[:4] for each in stage.published)
    stage.publisher.publish(tables[-1])
    await settle(envoy)
    assert stage.published[-1] is tables[-1]
    assert envoy.clusters()["h/default/a"] == [(8005, "5")]
    stage.publisher.close()


async def test_how_far_routes_were_followed_is_published_without_a_word_to_envoy() -> None:
    stage, table = Stage(), index(route("a", (1, 100, 8000)))
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(table)
    await settle(envoy)
    envoy.received.clear()
    stage.publisher.publish(replace(table, mark="12"))
    await turn()
    assert [each.mark for each in stage.published] == [table.mark, "12"]
    assert envoy.received == []
    stage.publisher.close()


async def test_a_model_of_which_envoy_refuses_something_stays_as_it_was_and_the_others_go_on() -> None:
    stage, first = Stage(), index(BOTH)
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(first)
    await settle(envoy)
    envoy.dislikes_content = {PORT_9101}
    second = index(route("a", (2, 100, 9101)), route("b", (1, 100, 7000)))
    stage.publisher.publish(second)
    await settle(envoy)
    assert stage.published[-1].mark == second.mark
    assert stage.published[-1].routes == {A: BOTH, B: second.routes[B]}
    assert list(stage.published[-1].unusable) == [A]
    assert envoy.clusters()["h/default/a/1"] == [(8000, "1")], "the route still sends requests there"
    assert envoy.clusters()["h/default/b"] == [(7000, "1")]
    third = index(route("a", (2, 100, 9002)), second.routes[B])
    stage.publisher.publish(third)
    await settle(envoy)
    assert stage.published[-1] is third
    assert envoy.clusters()["h/default/a"] == [(9002, "2")]
    stage.publisher.close()


async def test_requests_for_a_new_model_that_envoy_refuses_wait() -> None:
    stage, table = Stage(), index(route("a", (2, 100, 9101)), route("b"))
    envoy = EnvoyTwin(stage.store)
    envoy.dislikes_content = {PORT_9101}
    stage.publisher.publish(table)
    await settle(envoy)
    assert stage.published[-1].routes[A].state == "held"
    assert "Envoy refuses it: disliked" in stage.published[-1].unusable[A]
    assert envoy.clusters()["h/default/a"] == []
    stage.publisher.close()


async def test_a_model_of_which_envoy_takes_nothing_is_withdrawn() -> None:
    stage = Stage()
    envoy = EnvoyTwin(stage.store)
    envoy.dislikes = {"h/default/a"}
    stage.publisher.publish(index(route("a", (1, 100, 8000)), route("b")))
    await settle(envoy)
    assert list(stage.published[-1].routes) == [B]
    assert list(stage.published[-1].unusable) == [A]
    assert envoy.clusters().keys() >= {"h/default/b", "g/default/b"}
    assert "h/default/a" not in envoy.clusters()
    stage.publisher.publish(index(route("b")))
    await settle(envoy)
    assert not stage.published[-1].unusable
    stage.publisher.close()


async def test_a_rollout_that_envoy_refuses_does_not_begin_and_the_others_go_on() -> None:
    stage = Stage()
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(index(route("a", (1, 100, 8000)), route("b")))
    await settle(envoy)
    envoy.dislikes_content = {b"up_to"}
    table = index(BOTH, route("b", (1, 100, 7000)))
    stage.publisher.publish(table)
    await settle(envoy)
    assert stage.published[-1].mark == table.mark
    assert list(stage.published[-1].unusable) == [A]
    assert envoy.clusters()["h/default/a"] == [(8000, "1")]
    assert envoy.clusters()["h/default/b"] == [(7000, "1")]
    stage.publisher.close()


async def test_what_a_new_envoy_refuses_is_noticed() -> None:
    stage, table = Stage(), index(route("a", (2, 100, 9101)), route("b"))
    stage.publisher.publish(table)
    await turn()
    for _ in range(2):
        envoy = EnvoyTwin(stage.store)
        envoy.dislikes_content = {PORT_9101}
        await settle(envoy)
        assert [list(each.unusable) for each in stage.published] == [[A]] * len(stage.published) != []
        envoy.leave()
        await turn()
    stage.publisher.close()
