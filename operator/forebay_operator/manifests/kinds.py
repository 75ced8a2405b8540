"""The kinds of object that Forebay reads or writes, and where an API server has them."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from forebay_operator.api import v1alpha1
from forebay_operator.manifests.names import MANAGED_BY, PART_OF

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object. `labels` and `fields` select what of it is watched; empty: all."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True
    labels: str = ""
    fields: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of one object, or of all; without a namespace those of all namespaces."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/" + "/".join([*parts, *(part for part in (self.plural, name, subresource) if part)])


class Ref(NamedTuple):
    """Which object. A tuple: there are thousands, and they are looked up all the time."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


MODEL_DEPLOYMENTS: Final = Kind(v1alpha1.GROUP, v1alpha1.VERSION, v1alpha1.PLURAL, v1alpha1.KIND)
DEPLOYMENTS: Final = Kind("apps", "v1", "deployments", "Deployment", labels=MANAGED_BY)
PODS: Final = Kind("", "v1", "pods", "Pod", labels=PART_OF)
JOBS: Final = Kind("batch", "v1", "jobs", "Job", labels=MANAGED_BY)
SERVICES: Final = Kind("", "v1", "services", "Service", labels=MANAGED_BY)
BUDGETS: Final = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", labels=MANAGED_BY)
NODES: Final = Kind("", "v1", "nodes", "Node", namespaced=False)
# Of Jobs' pods that are refused (quota, pod security, a webhook), nothing but these says why.
JOB_EVENTS: Final = Kind("", "v1", "events", "Event", fields="involvedObject.kind=Job,type=Warning")
EVENTS: Final = Kind("events.k8s.io", "v1", "events", "Event")
SECRETS: Final = Kind("", "v1", "secrets", "Secret")
LEASES: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")

WATCHED: Final = (MODEL_DEPLOYMENTS, DEPLOYMENTS, PODS, JOBS, SERVICES, BUDGETS, NODES, JOB_EVENTS)


def ref_of(kind: Kind, manifest: Json) -> Ref:
    """The object that a manifest describes."""
    metadata = manifest["metadata"]
    return Ref(kind.name, metadata.get("namespace", ""), metadata["name"])
