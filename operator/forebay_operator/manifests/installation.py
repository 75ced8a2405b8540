"""What differs between installations, as far as the objects that the operator makes show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from forebay_operator.manifests.kinds import Json

GPU_RESOURCE: Final = "nvidia.com/gpu"
GPU_PRODUCT: Final = "nvidia.com/gpu.product"
GPU_MEMORY: Final = "nvidia.com/gpu.memory"
_SERVER_LIMITS: Final[Mapping[str, str]] = {"memory": "4Gi"}
_SERVER_REQUESTS: Final[Mapping[str, str]] = {"cpu": "500m", "memory": "2Gi"}
_CONVERSION_LIMITS: Final[Mapping[str, str]] = {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "12Gi"}
_CONVERSION_REQUESTS: Final[Mapping[str, str]] = {"cpu": "500m", "memory": "1Gi"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of every server."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How server pods are made."""

    cpu_image: str
    gpu_image: str
    ports: Ports = Ports()
    limits: Mapping[str, str] = field(default_factory=lambda: dict(_SERVER_LIMITS))
    """Of the container, beside the device. The memory of a CPU server's models comes on top."""
    requests: Mapping[str, str] = field(default_factory=lambda: dict(_SERVER_REQUESTS))
    scratch: str = "8Gi"
    """Room for artifacts."""
    drain_s: int = 90
    """What a server may take to answer what is in it before it ends: longer than any client waits."""
    simulated_pace: str = ""
    """Pace of simulated devices, for example `20ms+5ms`."""
    priority_class: str = ""
    gpu_runtime_class: str = ""
    """`runtimeClassName` of GPU servers, where the cluster needs one."""
    pod_annotations: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionSettings:
    """How conversion pods are made."""

    image: str
    """Converts what has no image of its own in `images`."""
    images: Mapping[str, str] = field(default_factory=dict[str, str])
    """Images by format of the source."""
    limits: Mapping[str, str] = field(default_factory=lambda: dict(_CONVERSION_LIMITS))
    requests: Mapping[str, str] = field(default_factory=lambda: dict(_CONVERSION_REQUESTS))
    work: str = "8Gi"
    """Room for the source, what is made of it, and what lies between."""
    seconds: int = 900
    """When a conversion that has not ended is ended."""
    trust_source: bool = False
    priority_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where artifacts live, as pods see it."""

    uri: str
    claim: str = ""
    """A volume claim, of this name in each namespace, that is mounted where `uri` points. Empty: none is needed."""
    has_credentials: bool = False
    """Whether there is a Secret with credentials for it in each namespace."""


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


def pod_basics(installation: Installation, priority_class: str) -> Json:
    """Parts of a pod's spec that every pod has."""
    basics: Json = {}
    if installation.pull_secrets:
        basics["imagePullSecrets"] = [{"name": name} for name in installation.pull_secrets]
    if priority_class:
        basics["priorityClassName"] = priority_class
    return basics
