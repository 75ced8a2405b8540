"""Which devices the cluster's nodes have, by their labels and by what the installation declares."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from forebay_operator.domain.snapshot import Capacity, DeviceClass
from forebay_operator.manifests.installation import GPU_MEMORY, GPU_PRODUCT, GPU_RESOURCE
from forebay_operator.manifests.kinds import NODES, PODS
from forebay_operator.worlds.gpu_memory import usable_bytes
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.servers import is_server
from forebay_operator.worlds.kubernetes.store import Seen, Store
from forebay_schema.logs import Logger

_MIB: Final = 1 << 20
_log: Final = Logger("forebay.capacity")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredDevices:
    """What is not read off nodes."""

    cpu_memory_bytes: int = 0
    """Memory for the models of a CPU server; 0: there are no CPU servers."""
    cpu_servers: int | None = None
    """How many there may be; None: as many as find room."""
    simulated_memory_bytes: int = 0
    simulated_servers: int = 0
    grown: tuple[DeviceClass, ...] = ()
    """GPUs of node groups that an autoscaler makes when they are asked for: there may be any number of them."""


class CapacityView:
    """Reads the nodes again when one of them, or a pod, has changed."""

    def __init__(self, store: Store, declared: DeclaredDevices) -> None:
        self._store = store
        self._declared = declared
        self._known: tuple[object, tuple[Capacity, ...]] = (None, ())
        self._unlabelled: frozenset[str] = frozenset()

    def seen(self) -> tuple[Capacity, ...]:
        revision = (self._store.revision(NODES), self._store.revision(PODS))
        if self._known[0] != revision:
            self._known = (revision, self._read())
        return self._known[1]

    def _read(self) -> tuple[Capacity, ...]:
        nodes = list(self._store.all(NODES))
        self._mention_unlabelled(nodes)
        ours = Counter(
            str((pod.object.get("spec") or {}).get("nodeName", ""))
            for pod in self._store.all(PODS)
            if is_server(pod) and not pods.has_ended(pod)
        )
        gpus: Counter[DeviceClass] = Counter()
        for node in nodes:
            device = device_of(node)
            if device is not None:
                # A node that takes no new pods keeps those that it has.
                gpus[device] += _gpus(node) if takes_pods(node) else min(ours[node.name], _gpus(node))
        found: dict[DeviceClass, int | None] = {**gpus, **self._declared_devices()}
        found |= dict.fromkeys(self._declared.grown)
        return tuple(Capacity(device=device, servers=found[device]) for device in sorted(found))

    def _declared_devices(self) -> Mapping[DeviceClass, int | None]:
        declared = self._declared
        found: dict[DeviceClass, int | None] = {}
        if declared.cpu_memory_bytes:
            found[DeviceClass("cpu", "cpu", declared.cpu_memory_bytes)] = declared.cpu_servers
        if declared.simulated_servers:
            device = DeviceClass("simulated", "simulated", declared.simulated_memory_bytes)
            found[device] = declared.simulated_servers
        return found

    def _mention_unlabelled(self, nodes: Iterable[Seen]) -> None:
        unlabelled = frozenset(node.name for node in nodes if _gpus(node) and device_of(node) is None)
        for name in sorted(unlabelled - self._unlabelled):
            remedy = f"install GPU feature discovery, or set the labels {GPU_PRODUCT} and {GPU_MEMORY}"
            _log.warning("a node's GPUs are not used: their product or memory is not known", node=name, remedy=remedy)
        self._unlabelled = unlabelled


def device_of(node: Seen) -> DeviceClass | None:
    """The class of a node's GPUs; None: it has none, or their product or memory is not known."""
    product, memory = node.labels.get(GPU_PRODUCT, ""), node.labels.get(GPU_MEMORY, "")
    if not product or not memory.isdecimal() or not _gpus(node):
        return None
    usable = usable_bytes(int(memory) * _MIB)
    return DeviceClass("gpu", product, usable) if usable else None


def takes_pods(node: Seen) -> bool:
    """Whether new pods may go there: it is ready, and neither cordoned nor about to go."""
    spec: Mapping[str, Any] = node.object.get("spec") or {}
    ready = pods.condition(node.object.get("status") or {}, "Ready")
    return not spec.get("unschedulable") and not node.is_going and ready.get("status", "True") == "True"


def _gpus(node: Seen) -> int:
    text = str(((node.object.get("status") or {}).get("allocatable") or {}).get(GPU_RESOURCE, "0"))
    return int(text) if text.isdecimal() else 0
