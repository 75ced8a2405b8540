"""What differs between installations, as far as the objects that the operator makes show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import Json

GPU_RESOURCE: Final = "nvidia.com/gpu"
GPU_PRODUCT: Final = "nvidia.com/gpu.product"
GPU_MEMORY: Final = "nvidia.com/gpu.memory"
GPU_REPLICAS: Final = "nvidia.com/gpu.replicas"
"""As how many GPUs each one is advertised: more than one where pods share them."""
USER: Final = 10001
"""The user of Forebay's images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of every server."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUser:
    """Whom pods run as, never root. None: nothing is said of it, and the cluster chooses, as OpenShift does."""

    user: int | None = USER
    group: int | None = USER
    group_of_volumes: int | None = USER


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """What an installation may say of any pod that the operator makes. What a pod may take is said by the chart alone."""

    limits: Mapping[str, str] = field(default_factory=dict[str, str])
    requests: Mapping[str, str] = field(default_factory=dict[str, str])
    environment: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """More variables, by name: `{"value": …}` or `{"valueFrom": …}`, as in a pod."""
    volumes: tuple[Json, ...] = ()
    mounts: tuple[Json, ...] = ()
    """More volumes, and where they are mounted, as in a pod."""
    service_account: str = ""
    """Of the models' namespaces; empty: `default`. Pods have no token of it: it is for what a cloud gives to accounts."""
    priority_class: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerations: tuple[Json, ...] = ()
    pod_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    pod_annotations: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings(PodSettings):
    """How server pods are made. The memory of a CPU server's models comes on top of its limit."""

    cpu_image: str
    gpu_image: str
    ports: Ports = Ports()
    scratch: str = "8Gi"
    """Room for artifacts."""
    drain_s: int = 90
    """What a server may take to answer what is in it before it ends: longer than any client waits."""
    max_unavailable: int | str | None = None
    """How many servers of a pool, or what share of them, may be evicted at once; None: nothing is said of it."""
    simulated_pace: str = ""
    """Pace of simulated devices, for example `20ms+5ms`."""
    gpu_runtime_class: str = ""
    """`runtimeClassName` of GPU servers, where the cluster needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionSettings(PodSettings):
    """How conversion pods are made. What opens a source sees none of the variables, and no volume of `mounts`."""

    image: str
    """Converts what has no image of its own in `images`."""
    images: Mapping[str, str] = field(default_factory=dict[str, str])
    """Images by format of the source."""
    work: str = "8Gi"
    """Room for the source, what is made of it, and what lies between."""
    seconds: int = 900
    """When a conversion that has not ended is ended."""
    trust_source: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where artifacts live, as pods see it."""

    uri: str
    claim: str = ""
    """A volume claim, of this name in each namespace, that is mounted where `uri` points. Empty: none is needed."""
    has_credentials: bool = False
    """Whether there is a Secret with credentials for it in each namespace."""
    has_reading_credentials: bool = False
    """Whether there is another one, whose credentials can read only."""

    @property
    def writing_secret(self) -> str:
        """For who writes to the store; empty: none is needed."""
        return names.STORE_SECRET if self.has_credentials else ""

    @property
    def reading_secret(self) -> str:
        """For who only reads."""
        return names.STORE_READING_SECRET if self.has_reading_credentials else self.writing_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """All of it."""

    store: StoreSettings
    servers: ServerSettings
    conversions: ConversionSettings
    gateway_host: str
    """The DNS name of the gateway's Service: `forebay-gateway.forebay.svc.cluster.local`."""
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in the models' namespaces."""
    pod_user: PodUser = PodUser()


def pod_basics(installation: Installation, settings: PodSettings) -> Json:
    """Parts of a pod's spec that every pod may have, as far as anything is said of them."""
    said: Json = {
        "imagePullSecrets": [{"name": name} for name in installation.pull_secrets],
        "priorityClassName": settings.priority_class,
        "serviceAccountName": settings.service_account,
        "nodeSelector": dict(settings.node_selector),
        "tolerations": list(settings.tolerations),
    }
    return {name: value for name, value in said.items() if value}
