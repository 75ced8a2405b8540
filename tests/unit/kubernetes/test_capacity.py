from typing import Any

import pytest

from forebay_operator.domain.snapshot import DeviceClass
from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import NODES, PODS
from forebay_operator.worlds.gpu_memory import usable_bytes
from forebay_operator.worlds.kubernetes.capacity import CapacityView, DeclaredDevices
from forebay_operator.worlds.kubernetes.store import Store
from forebay_schema.logs import JsonLines
from kubernetes_builders import an_object

L4 = DeviceClass("gpu", "NVIDIA-L4", usable_bytes(23034 << 20))


def a_store(*nodes: Any) -> Store:
    store = Store(lambda _: None)
    for node in nodes:
        store.put(NODES, node)
    return store


def a_node(
    name: str, gpus: int = 0, product: str = "NVIDIA-L4", memory: str = "23034", replicas: str = "1", **content: Any
) -> Any:
    labels = {"nvidia.com/gpu.product": product, "nvidia.com/gpu.memory": memory, "nvidia.com/gpu.replicas": replicas}
    status = {"allocatable": {"nvidia.com/gpu": str(gpus)}, "conditions": [{"type": "Ready", "status": "True"}]}
    return an_object(NODES, name, metadata={"labels": labels}, **{"spec": {}, "status": status, **content})


def _seen(
    store: Store, declared: DeclaredDevices | None = None, node_selector: dict[str, str] | None = None
) -> dict[DeviceClass, int | None]:
    view = CapacityView(store, declared or DeclaredDevices(), node_selector or {})
    return {each.device: each.servers for each in view.seen()}


def test_gpus_are_counted_by_the_product_that_their_nodes_are_labelled_with() -> None:
    store = a_store(a_node("a", 2), a_node("b", 1), a_node("c", 4, product="NVIDIA-A100", memory="81920"), a_node("d", 0))
    a100 = DeviceClass("gpu", "NVIDIA-A100", usable_bytes(81920 << 20))
    assert _seen(store) == {L4: 3, a100: 4}


def test_nodes_that_servers_may_not_be_on_lend_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Their servers would stay pending for ever, and an autoscaler of nodes would make more of the wrong ones."""
    other, unknown = a_node("a", 4), a_node("b", 2, product="")
    mine = a_node("c", 1)
    mine["metadata"]["labels"]["pool"] = "models"

    assert _seen(a_store(other, unknown, mine), node_selector={"pool": "models"}) == {L4: 1}
    assert not caplog.records


def test_a_node_without_the_labels_lends_nothing() -> None:
    assert _seen(a_store(a_node("a", 2, product=""), a_node("b", 2, memory=""))) == {}


def test_gpus_that_pods_share_are_not_used_as_each_seems_to_have_all_of_the_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shared = a_node("a", 8, product="NVIDIA-L4-SHARED", replicas="4")

    assert _seen(a_store(shared, a_node("b", 1), a_node("c", 2, replicas="0"), a_node("d", 1, replicas=""))) == {L4: 4}
    (said,) = [JsonLines().format(record) for record in caplog.records]
    assert '"node": "a"' in said
    assert "turn that off there" in said


def test_a_slice_of_a_gpu_is_a_class_of_its_own() -> None:
    """As GPU feature discovery labels nodes under the strategy `single` of MIG: product and memory are the slice's."""
    sliced = a_node("a", 7, product="A100-SXM4-40GB-MIG-1g.5gb", memory="5120")

    assert _seen(a_store(sliced)) == {DeviceClass("gpu", "A100-SXM4-40GB-MIG-1g.5gb", usable_bytes(5120 << 20)): 7}


def test_a_node_that_takes_no_new_pods_counts_with_what_runs_on_it() -> None:
    store = a_store(a_node("a", 4, spec={"unschedulable": True}), a_node("b", 1))
    labels = {names.COMPONENT: names.SERVER, names.POOL: "x"}
    store.put(PODS, an_object(PODS, "s-1", metadata={"labels": labels}, spec={"nodeName": "a"}))
    assert _seen(store) == {L4: 2}


def test_what_the_installation_declares_is_there_as_well() -> None:
    grown = DeviceClass("gpu", "NVIDIA-H100", 80 << 30)
    declared = DeclaredDevices(
        cpu_memory_bytes=2 << 30,
        cpu_servers=None,
        simulated_memory_bytes=1 << 30,
        simulated_servers=2,
        grown=(grown,),
    )
    assert _seen(a_store(), declared) == {
        DeviceClass("cpu", "cpu", 2 << 30): None,
        DeviceClass("simulated", "simulated", 1 << 30): 2,
        grown: None,
    }
