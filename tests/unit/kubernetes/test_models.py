from typing import Any, cast

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.revisions import identify
from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.models import Models
from forebay_operator.worlds.kubernetes.store import Store
from forebay_operator.worlds.kubernetes.troubles import Troubles
from forebay_operator.worlds.kubernetes.writer import Writer
from forebay_schema.addresses import ModelAddress
from kubernetes_builders import an_object, changed

_URI = "s3://models/m.onnx"


class Scene:
    """ModelDeployments as they are read from a store."""

    def __init__(self) -> None:
        self.store = Store(lambda _: None)
        writer = Writer(cast("ApiServer", None), self.store, lambda *_: None, lambda: None)
        self.models = Models(self.store, Troubles(writer))

    def add(self, name: str, **spec: Any) -> dict[str, Any]:
        made = an_object(MODEL_DEPLOYMENTS, name, spec={"model": {"source": {"uri": _URI}}} | spec)
        self.store.put(MODEL_DEPLOYMENTS, made)
        return made

    def start(self, name: str) -> StartConversion:
        """What the step orders for a model that is not converted."""
        model = self.models.find(ModelAddress("default", name))
        assert model is not None
        assert model.deployment is not None
        spec = model.deployment.spec
        return StartConversion(
            id=identify("default", spec).conversion,
            attempt=1,
            source=spec.source,
            verification=spec.verification,
            max_batch_size=spec.serving.max_batch_size,
        )


def test_a_conversion_belongs_to_every_model_that_asks_for_it_and_to_no_other() -> None:
    scene = Scene()
    scene.add("one")
    scene.add("same", replicas=2)
    scene.add("stricter", verification={"minAgreement": 1.0})
    scene.add("wider", serving={"maxBatchSize": 64})
    assert [owner.name for owner in scene.models.waiting_for(scene.start("one"))] == ["one", "same"]
    assert [owner.name for owner in scene.models.waiting_for(scene.start("wider"))] == ["wider"]


def test_the_oldest_models_of_a_namespace_own_what_all_of_them_use() -> None:
    scene = Scene()
    for number in range(110):
        made = scene.add(f"m-{number:03}")
        created = f"2026-01-01T00:00:00.{110 - number:03}Z"
        scene.store.put(MODEL_DEPLOYMENTS, changed(made, metadata={"creationTimestamp": created}))
    owners = [owner.name for owner in scene.models.owners_in("default")]
    assert owners == [f"m-{number:03}" for number in range(109, 9, -1)]
    scene.store.put(MODEL_DEPLOYMENTS, changed(scene.add("older"), metadata={"creationTimestamp": "2025-01-01T00:00:00Z"}))
    assert scene.models.owners_in("default")[0].name == "older"
    assert scene.models.owners_in("elsewhere") == []


def test_as_long_as_nothing_changes_what_is_read_is_the_same_value() -> None:
    scene = Scene()
    made = scene.add("one")
    before = scene.models.all(), scene.models.deployments()
    assert (scene.models.all(), scene.models.deployments())[0] is before[0]
    assert scene.models.deployments() is before[1]
    scene.store.put(MODEL_DEPLOYMENTS, changed(made, metadata={"labels": {"a": "b"}}))
    assert scene.models.all() is not before[0]


async def test_what_was_read_ahead_is_not_read_again_unless_it_changed() -> None:
    scene = Scene()
    scene.add("one")
    other = scene.add("two")
    await scene.models.read_ahead(1)
    scene.store.put(
        MODEL_DEPLOYMENTS,
        changed(other, metadata={"generation": 2}, spec={"stopped": True, "model": {"source": {"uri": _URI}}}),
    )
    deployments = {each.address.name: each for each in scene.models.deployments()}
    assert [deployments["one"].spec.stopped, deployments["two"].spec.stopped] == [False, True]
