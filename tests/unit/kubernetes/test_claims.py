"""Objects that claim to be what they are not: nobody in one namespace is believed for another."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration

from forebay_operator.domain.snapshot import Pool
from forebay_operator.manifests import names
from forebay_operator.manifests.event import News, Subject
from forebay_operator.manifests.kinds import DEPLOYMENTS, PODS
from forebay_operator.manifests.pool import deployment, template
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.claims import Claims
from forebay_operator.worlds.kubernetes.pools import Pools
from forebay_operator.worlds.kubernetes.servers import Servers, Tokens
from forebay_operator.worlds.kubernetes.store import Seen, Store
from forebay_operator.worlds.kubernetes.writer import Writer
from kubernetes_builders import CPU, GPU, Json, a_pool, an_installation, an_object, changed

OURS = a_pool(CPU, namespace="team-a")
THEIRS = a_pool(CPU, namespace="team-b")
_MADE = template(THEIRS, an_installation())


def a_server(pool: Pool, name: str = "", **metadata: Any) -> Json:
    """A pod as its pool's Deployment makes it."""
    made = template(pool, an_installation())
    said = {**made.content["metadata"], "namespace": pool.namespace, **metadata}
    pod = an_object(PODS, name or f"{made.deployment}-5d4f8c-abcde", metadata=said, spec=made.content["spec"])
    running = {"podIP": "10.0.0.66", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {**pod, "status": running}


def a_deployment(pool: Pool, servers: int = 1, **metadata: Any) -> Json:
    made = deployment(template(pool, an_installation()), servers)
    return an_object(DEPLOYMENTS, made["metadata"]["name"], metadata={**made["metadata"], **metadata}, spec=dict(made["spec"]))


class Told:
    """What was told of which object."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str, str]] = []

    def __call__(self, subject: Subject, news: News) -> None:
        self.news.append((subject.namespace, subject.name, news.note))


class Scene:
    """A store, and what looks into it."""

    def __init__(self) -> None:
        self.store = Store(lambda _: None)
        self.told = Told()
        self.claims = Claims(self.told)
        writer = Writer(_api, self.store, lambda *_: None, lambda: None, may_act=lambda: False)
        self.pools = Pools(self.store, writer, an_installation(), lambda _: (), lambda: 0.0, claims=self.claims)
        self.servers = Servers(self.store, Tokens(b"k"), lambda: 0.0, lambda: None, claims=self.claims)

    @asynccontextmanager
    async def looked_at(self) -> AsyncGenerator[Servers]:
        """The servers, followed."""
        running = asyncio.create_task(self.servers.run())
        # Its first turn has it know how to ask.
        await asyncio.sleep(0)
        try:
            yield self.servers
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def seen(self) -> list[tuple[str, str]]:
        async with self.looked_at() as servers:
            return [(server.pool.namespace, server.name) for server in servers.seen()]


_api = ApiServer(Configuration())
"""Never called here."""


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_pod_of_its_own_namespaces_pool_is_a_server(scene: Scene) -> None:
    pod = a_server(OURS)
    scene.store.put(PODS, pod)
    assert await scene.seen() == [("team-a", pod["metadata"]["name"])]
    assert scene.told.news == []


_FORGED_PODS = {
    "of another namespace's pool": a_server(THEIRS, namespace="team-a"),
    "with a label that its annotation does not bear out": a_server(OURS, labels=a_server(THEIRS)["metadata"]["labels"]),
    "with a name that no pod of its pool has": a_server(OURS, "forebay-evil"),
    "without an annotation": a_server(OURS, annotations={}),
}


@pytest.mark.parametrize("pod", list(_FORGED_PODS.values()), ids=list(_FORGED_PODS))
async def test_a_pod_that_is_not_what_it_says_is_no_server_and_is_named_once(scene: Scene, pod: Json) -> None:
    scene.store.put(PODS, pod)
    assert await scene.seen() == []
    scene.store.put(PODS, changed(pod))
    assert await scene.seen() == []
    ((namespace, name, note),) = scene.told.news
    assert (namespace, name) == ("team-a", pod["metadata"]["name"])
    assert note.startswith("Forebay ignores it: it")


@pytest.mark.parametrize("limits", [None, {}, {"nvidia.com/gpu": "0"}])
async def test_a_pod_without_a_gpu_does_not_count_as_holding_one(scene: Scene, limits: Json | None) -> None:
    pool = a_pool(GPU, namespace="team-a")
    pod, other = a_server(pool, uid="real"), a_server(pool, uid="forged")
    other["metadata"]["name"] += "x"
    container = {**other["spec"]["containers"][0], "resources": {"limits": limits}}
    other["spec"] = {**other["spec"], "containers": [container]}
    scene.store.put(PODS, pod)
    scene.store.put(PODS, other)
    assert await scene.seen() == [("team-a", pod["metadata"]["name"])]
    assert "it asks for no nvidia.com/gpu" in scene.told.news[0][2]


async def test_of_two_servers_of_one_name_in_two_namespaces_the_one_that_was_made_first_counts(scene: Scene) -> None:
    """Names hold parts of digests, so two namespaces can be made to agree by trying."""
    older, newer = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
    first, second = a_server(OURS, creationTimestamp=older), a_server(THEIRS, creationTimestamp=newer)
    found = _namesakes(first, second)
    for pod in found:
        scene.store.put(PODS, pod)
    scene.claims = _Believing(scene.told)
    scene.servers = Servers(scene.store, Tokens(b"k"), lambda: 0.0, lambda: None, claims=scene.claims)
    assert await scene.seen() == [("team-a", "same")]
    ((namespace, _, note),) = scene.told.news
    assert namespace == "team-b"
    assert "a server of the namespace team-a has its name" in note


async def test_a_server_that_is_known_is_not_replaced_by_a_namesake_of_the_same_second(scene: Scene) -> None:
    first, second = _namesakes(a_server(OURS, uid="z"), a_server(THEIRS, uid="a"))
    scene.servers = Servers(scene.store, Tokens(b"k"), lambda: 0.0, lambda: None, claims=_Believing(scene.told))
    scene.store.put(PODS, first)
    async with scene.looked_at() as servers:
        assert [server.pool.namespace for server in servers.seen()] == ["team-a"]
        scene.store.put(PODS, second)
        assert [server.pool.namespace for server in servers.seen()] == ["team-a"]


def _namesakes(*pods: Json) -> list[Json]:
    return [{**pod, "metadata": {**pod["metadata"], "name": "same"}} for pod in pods]


class _Believing(Claims):
    """Stands for names that agree by trying: finding such takes 16 million digests."""

    def pool_of_server(self, pod: Seen) -> Pool | None:
        return {"team-a": OURS, "team-b": THEIRS}[pod.namespace]


def test_a_deployment_of_its_own_namespaces_pool_is_taken_over(scene: Scene) -> None:
    scene.store.put(DEPLOYMENTS, a_deployment(OURS, 2))
    scene.pools.adopt()
    assert scene.pools.pools() == {OURS}
    assert len(scene.pools.unmade()) == 2
    assert scene.told.news == []


_FORGED_DEPLOYMENTS = {
    "of another namespace's pool": a_deployment(THEIRS, namespace="team-a"),
    "of another name": a_deployment(OURS, name="forebay-evil"),
    "with another label": a_deployment(OURS, labels={names.TEMPLATE: template(OURS, an_installation()).digest}),
}


@pytest.mark.parametrize("forged", list(_FORGED_DEPLOYMENTS.values()), ids=list(_FORGED_DEPLOYMENTS))
def test_a_deployment_that_is_not_what_it_says_is_left_alone_and_named_once(scene: Scene, forged: Json) -> None:
    scene.store.put(DEPLOYMENTS, forged)
    scene.pools.keep()
    scene.pools.keep()
    assert scene.pools.pools() == set()
    assert scene.pools.unmade() == []
    assert len(scene.told.news) == 1


def _written(**changes: Any) -> str:
    return json.dumps({**asdict(OURS), **changes})


_DEVICE = asdict(CPU)
UNREADABLE = [
    _written(template='{"resources": 1}'),
    _written(template="[]"),
    _written(template="{"),
    _written(template='{"resources": {"limits": {"memory": "much"}}}'),
    _written(template={}),
    _written(exclusive=["a"]),
    _written(exclusive="\ud800"),
    _written(namespace=None),
    _written(device={**_DEVICE, "memory_bytes": "2"}),
    _written(device={**_DEVICE, "memory_bytes": float("nan")}),
    _written(device={**_DEVICE, "memory_bytes": -1}),
    _written(device={**_DEVICE, "memory_bytes": 10**400}),
    _written(device={**_DEVICE, "kind": "tpu"}),
    _written(device={**_DEVICE, "kind": []}),
    "[" * 100_000,
]


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
async def test_an_annotation_that_cannot_be_read_names_no_pool_and_raises_nothing(scene: Scene, text: str) -> None:
    scene.store.put(PODS, a_server(OURS, annotations={names.POOL: text}))
    scene.store.put(DEPLOYMENTS, a_deployment(OURS, annotations={names.POOL: text}))
    assert await scene.seen() == []
    scene.pools.keep()
    assert scene.pools.pools() == set()
    assert {note for *_, note in scene.told.news} == {
        "Forebay ignores it: its annotation forebay.dev/pool names no pool. Delete it; Forebay makes its servers itself."
    }


@pytest.mark.parametrize("said", ["9" * 5000, "999999999", "٣"])
def test_a_number_of_servers_that_somebody_wrote_is_bounded(scene: Scene, said: str) -> None:
    made = a_deployment(OURS)
    made["metadata"]["annotations"][names.SERVERS] = said
    scene.store.put(DEPLOYMENTS, made)
    scene.pools.adopt()
    assert len(scene.pools.unmade()) <= 10_000


def test_a_pool_with_more_pods_than_it_should_have_lacks_no_server(scene: Scene) -> None:
    scene.store.put(DEPLOYMENTS, a_deployment(OURS, 1))
    for tail in ("aaaaa", "bbbbb", "ccccc"):
        scene.store.put(PODS, a_server(OURS, f"{template(OURS, an_installation()).deployment}-5d4f8c-{tail}"))
    scene.pools.adopt()
    assert scene.pools.unmade() == []


def test_a_server_without_a_pod_has_a_name_that_no_pod_has(scene: Scene) -> None:
    scene.store.put(DEPLOYMENTS, a_deployment(OURS))
    taken = f"{template(OURS, an_installation()).deployment}-0"
    scene.store.put(PODS, a_server(THEIRS, taken, namespace="team-b"))
    scene.pools.adopt()
    (server,) = scene.pools.unmade()
    assert server.name != taken
