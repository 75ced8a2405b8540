"""Whose pools are: they go with the ModelDeployments that they are for, and with no fewer than all of these."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from forebay_operator.domain.actions import ResizePool
from forebay_operator.domain.snapshot import Pool
from forebay_operator.manifests.kinds import BUDGETS, DEPLOYMENTS, MODEL_DEPLOYMENTS, Json, Kind
from forebay_operator.manifests.pool import template
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.budgets import Budgets
from forebay_operator.worlds.kubernetes.claims import Claims
from forebay_operator.worlds.kubernetes.models import Models
from forebay_operator.worlds.kubernetes.pools import Pools
from forebay_operator.worlds.kubernetes.store import Store
from forebay_operator.worlds.kubernetes.troubles import Troubles
from forebay_operator.worlds.kubernetes.writer import Writer
from kubernetes_builders import CPU, a_pool, an_installation, an_object, changed

SHARED = a_pool(CPU)
OWN = a_pool(CPU, exclusive="m-000")


class Applying:
    """Takes whatever is written, and remembers the owners that it named."""

    def __init__(self) -> None:
        self.applied = 0
        """Writes of Deployments."""
        self.deleted: list[str] = []
        self._versions = iter(range(10_000, 20_000))

    async def apply(self, path: str, manifest: Json, *, force: bool) -> Json:
        assert path, force
        self.applied += manifest["kind"] == DEPLOYMENTS.name
        said = {"uid": path, "resourceVersion": str(next(self._versions)), "creationTimestamp": "2026-01-01T00:00:00Z"}
        return {**manifest, "metadata": {**manifest["metadata"], **said}}

    async def delete(self, path: str, uid: str, version: str = "") -> None:
        assert (uid, version) == (path, "")
        self.deleted.append(path)


class Scene:
    """Pools and their budgets, and the ModelDeployments of a store."""

    def __init__(self) -> None:
        self.api = Applying()
        self.store = Store(lambda _: None)
        self.writer = Writer(cast("ApiServer", self.api), self.store, lambda *_: None, lambda: None)
        self.models = Models(self.store, Troubles(self.writer))
        self.claims = Claims(lambda *_: None)
        self.pools = self.with_installation()
        self.budgets = Budgets(self.store, self.writer, 1, self.models.owners_of)

    def with_installation(self, **changes: Any) -> Pools:
        installation = an_installation(**changes)
        return Pools(self.store, self.writer, installation, self.models.owners_of, lambda: 0.0, claims=self.claims)

    def add(self, count: int, first: int = 0) -> list[Json]:
        made = [
            an_object(MODEL_DEPLOYMENTS, f"m-{number:03}", spec={"model": {"source": {"uri": "s3://m/m.onnx"}}})
            for number in range(first, first + count)
        ]
        for each in made:
            self.store.put(MODEL_DEPLOYMENTS, each)
        return made

    def remove(self, models: Sequence[Json]) -> None:
        for each in models:
            self.store.event(MODEL_DEPLOYMENTS, "DELETED", changed(each))

    async def keep(self) -> None:
        """Have all written that is to be written."""
        for _ in range(3):
            self.pools.keep()
            self.budgets.keep(self.pools.pools())
            # What a write is followed by comes one turn after its end.
            await asyncio.sleep(0)
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - nothing else tells that no write is under way
                await asyncio.sleep(0)
            await asyncio.sleep(0)

    def order(self, pool: Pool, servers: int) -> None:
        self.pools.resize(ResizePool(pool=pool, servers=servers), 0)

    def owners(self, kind: Kind) -> list[list[str]]:
        """Of each object of a kind, the names of its owners."""
        return [[each["name"] for each in live.metadata.get("ownerReferences", [])] for live in self.store.all(kind)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_shared_pool_and_its_budget_are_owned_by_all_models_of_the_namespace(scene: Scene) -> None:
    scene.add(2)
    scene.order(SHARED, 1)
    await scene.keep()
    assert scene.owners(DEPLOYMENTS) == scene.owners(BUDGETS) == [["m-000", "m-001"]]

    scene.add(1, first=2)
    await scene.keep()
    assert scene.owners(DEPLOYMENTS) == scene.owners(BUDGETS) == [["m-000", "m-001", "m-002"]]


async def test_a_pool_of_one_model_is_owned_by_that_alone(scene: Scene) -> None:
    scene.add(2)
    scene.order(OWN, 1)
    await scene.keep()
    assert scene.owners(DEPLOYMENTS) == scene.owners(BUDGETS) == [["m-000"]]


async def test_a_pool_of_too_many_models_is_owned_by_none_of_them_rather_than_by_some(scene: Scene) -> None:
    """The garbage collector would end it with those, while others are served by it and no operator is there."""
    scene.add(100)
    scene.order(SHARED, 1)
    await scene.keep()
    assert [len(owners) for owners in scene.owners(DEPLOYMENTS)] == [100]

    more = scene.add(30, first=100)
    await scene.keep()
    assert scene.owners(DEPLOYMENTS) == scene.owners(BUDGETS) == [[]]
    assert scene.api.applied == 2, "thousands of models must not be a write each"

    scene.remove(more)
    await scene.keep()
    assert [len(owners) for owners in scene.owners(DEPLOYMENTS)] == [100]


async def test_a_pool_that_an_older_template_made_is_owned_by_the_models_of_now(scene: Scene) -> None:
    older = scene.add(1)
    scene.order(SHARED, 1)
    await scene.keep()
    scene.pools = scene.with_installation(pull_policy="Always")
    scene.add(1, first=1)
    scene.remove(older)
    await scene.keep()
    (live,) = scene.store.all(DEPLOYMENTS)
    assert live.name == template(SHARED, an_installation()).deployment
    assert scene.owners(DEPLOYMENTS) == [["m-001"]]


@pytest.mark.parametrize("pool", [SHARED, OWN], ids=["shared", "of one model"])
async def test_a_pool_goes_with_its_last_model_and_is_not_made_again(scene: Scene, pool: Pool) -> None:
    models = scene.add(1)
    scene.order(pool, 1)
    await scene.keep()
    (live,) = scene.store.all(DEPLOYMENTS)
    scene.remove(models)
    await scene.keep()
    assert set(scene.api.deleted) == {DEPLOYMENTS.path("default", live.name), *_budgets(scene)}

    written = scene.api.applied
    scene.store.event(DEPLOYMENTS, "DELETED", changed(dict(live.object)))
    await scene.keep()
    assert scene.pools.pools() == set()
    assert scene.pools.unmade() == []
    assert scene.api.applied == written


async def test_a_pool_that_the_garbage_collector_took_first_is_not_made_again(scene: Scene) -> None:
    models = scene.add(1)
    scene.order(SHARED, 1)
    await scene.keep()
    (live,) = scene.store.all(DEPLOYMENTS)
    scene.store.event(DEPLOYMENTS, "DELETED", changed(dict(live.object)))
    scene.remove(models)
    await scene.keep()
    assert scene.pools.pools() == set()
    assert list(scene.store.all(DEPLOYMENTS)) == []


def _budgets(scene: Scene) -> list[str]:
    return [BUDGETS.path("default", live.name) for live in scene.store.all(BUDGETS)]
