import asyncio
from pathlib import Path

from forebay_gateway.routing import RouteIndex
from forebay_gateway.settings import Sockets
from forebay_gateway.xds.messages import CLUSTER, ROUTE
from forebay_gateway.xds.publisher import Publisher
from forebay_gateway.xds.store import ResourceStore
from gateway_xds import EnvoyTwin, index, route

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
    for _ in range(5):
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


async def test_an_older_table_on_its_way_is_overtaken() -> None:
    stage, newest = Stage(), index(route("a", (2, 100, 9000)))
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(index(BOTH))
    await turn()
    stage.publisher.publish(newest)
    await settle(envoy)
    assert stage.published == [newest]
    assert envoy.clusters()["h/default/a"] == [(9000, "2")]
    stage.publisher.close()


async def test_a_table_of_which_envoy_refuses_anything_goes_no_further() -> None:
    stage, first, last = Stage(), index(BOTH), index(route("a", (2, 100, 9001)))
    envoy = EnvoyTwin(stage.store)
    stage.publisher.publish(first)
    await settle(envoy)
    envoy.dislikes = {"h/default/a"}
    envoy.received.clear()
    stage.publisher.publish(index(route("a", (2, 100, 9002)), route("b")))
    await settle(envoy)
    assert stage.published == [first]
    assert ROUTE not in {type_url for type_url, _ in envoy.received}
    assert envoy.clusters()["h/default/a/1"] == [(8000, "1")], "the route still sends requests there"
    envoy.dislikes = set()
    stage.publisher.publish(last)
    await settle(envoy)
    assert stage.published == [first, last]
    assert envoy.clusters()["h/default/a/1"] == [(9001, "2")]
    stage.publisher.close()


async def test_a_table_without_the_model_that_envoy_refused_is_published() -> None:
    stage, table = Stage(), index(route("b"))
    envoy = EnvoyTwin(stage.store)
    envoy.dislikes = {"h/default/a"}
    stage.publisher.publish(index(route("a", (1, 100, 8000)), route("b")))
    await settle(envoy)
    assert stage.published == []
    stage.publisher.publish(table)
    await settle(envoy)
    assert stage.published == [table]
    stage.publisher.close()
