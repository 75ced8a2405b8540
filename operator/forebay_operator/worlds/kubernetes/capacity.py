"""Which devices the cluster's nodes have, by their labels and by what the installation declares."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from forebay_operator.domain.snapshot import Capacity, DeviceClass
from forebay_operator.manifests.installation import GPU_MEMORY, GPU_PRODUCT, GPU_REPLICAS, GPU_RESOURCE
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

    def __init__(self, store: Store, declared: DeclaredDevices, node_selector: Mapping[str, str]) -> None:
        """`node_selector`: labels of the nodes that servers may be on."""
        self._store = store
        self._declared = declared
        self._node_selector = node_selector
        self._known: tuple[object, tuple[Capacity, ...]] = (None, ())
        self._unused: frozenset[tuple[str, str]] = frozenset()

    def seen(self) -> tuple[Capacity, ...]:
        revision = (self._store.revision(NODES), self._store.revision(PODS))
        if self._known[0] != revision:
            self._known = (revision, self._read())
        return self._known[1]

    def _read(self) -> tuple[Capacity, ...]:
        nodes = list(self._store.all(NODES))
        self._mention_unused(node for node in nodes if self._is_selected(node))
        ours = Counter(
            str((pod.object.get("spec") or {}).get("nodeName", ""))
            for pod in self._store.all(PODS)
            if is_server(pod) and not pods.has_ended(pod)
        )
        gpus: Counter[DeviceClass] = Counter()
        for node in nodes:
            device = device_of(node)
            if device is not None:
                # A node that takes no new pods, or none of ours, keeps those that it has.
                is_open = takes_pods(node) and self._is_selected(node)
                gpus[device] += _gpus(node) if is_open else min(ours[node.name], _gpus(node))
        found: dict[DeviceClass, int | None] = {**gpus, **self._declared_devices()}
        found |= dict.fromkeys(self._declared.grown)
        return tuple(Capacity(device=device, servers=found[device]) for device in sorted(found))

    def _is_selected(self, node: Seen) -> bool:
        return self._node_selector.items() <= node.labels.items()

    def _declared_devices(self) -> Mapping[DeviceClass, int | None]:
        declared = self._declared
        found: dict[DeviceClass, int | None] = {}
        if declared.cpu_memory_bytes:
            found[DeviceClass("cpu", "cpu", declared.cpu_memory_bytes)] = declared.cpu_servers
        if declared.simulated_servers:
            device = DeviceClass("simulated", "simulated", declared.simulated_memory_bytes)
            found[device] = declared.simulated_servers
        return found

    def _mention_unused(self, nodes: Iterable[Seen]) -> None:
        unused = frozenset((node.name, _remedy(node)) for node in nodes if _gpus(node) and device_of(node) is None)
        for name, remedy in sorted(unused - self._unused):
            _log.warning("a node's GPUs are not used", node=name, remedy=remedy)
        self._unused = unused


def _remedy(node: Seen) -> str:
    if _are_shared(node):
        return f"pods share them by time slicing or MPS ({GPU_REPLICAS}), and all of their memory: turn that off there"
    labels = f"{GPU_PRODUCT} and {GPU_MEMORY}"
    return f"their product or memory is not known: install GPU feature discovery, or set the labels {labels}"


def device_of(node: Seen) -> DeviceClass | None:
    """The class of a node's GPUs; None: it has none, their product or memory is not known, or pods share them."""
    product, memory = node.labels.get(GPU_PRODUCT, ""), node.labels.get(GPU_MEMORY, "")
    if not product or not memory.isdecimal() or not _gpus(node) or _are_shared(node):
        return None
    usable = usable_bytes(int(memory) * _MIB)
    return DeviceClass("gpu", product, usable) if usable else None


def takes_pods(node: Seen) -> bool:
    """Whether new pods may go there: it is ready, and neither cordoned nor about to go."""
    spec: Mapping[str, Any] = node.object.get("spec") or {}
    ready = pods.condition(node.object.get("status") or {}, "Ready")
    return not spec.get("unschedulable") and not node.is_going and ready.get("status", "True") == "True"


def _are_shared(node: Seen) -> bool:
    """Each GPU is advertised several times, with all of its memory each time."""
    replicas = node.labels.get(GPU_REPLICAS, "")
    return replicas.isdecimal() and int(replicas) > 1


def _gpus(node: Seen) -> int:
    text = str(((node.object.get("status") or {}).get("allocatable") or {}).get(GPU_RESOURCE, "0"))
    return int(text) if text.isdecimal() else 0
