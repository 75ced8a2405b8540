"""Objects as an API server shows them, and an installation, for tests of the Kubernetes world's pure parts."""

import itertools
from dataclasses import replace
from typing import Any

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.deployment import Source, Verification
from forebay_operator.domain.snapshot import ConversionId, DeviceClass, Pool
from forebay_operator.manifests.installation import ConversionSettings, Installation, ServerSettings, StoreSettings
from forebay_operator.manifests.kinds import Kind
from forebay_schema.conversion import ConversionOptions, ConversionOrder, ConversionSource

Json = dict[str, Any]
_versions = itertools.count(100)
_uids = itertools.count(1)

GPU = DeviceClass("gpu", "NVIDIA-L4", 22 << 30)
CPU = DeviceClass("cpu", "cpu", 2 << 30)
SIMULATED = DeviceClass("simulated", "simulated", 1 << 30)


def an_installation(**changes: Any) -> Installation:
    usual = Installation(
        store=StoreSettings(uri="s3://bucket/models"),
        servers=ServerSettings(
            cpu_image="forebay/runtime:1",
            gpu_image="forebay/runtime-gpu:1",
            limits={"memory": "4Gi"},
            requests={"cpu": "500m", "memory": "2Gi"},
        ),
        conversions=ConversionSettings(
            image="forebay/convert:1",
            limits={"cpu": "2", "memory": "4Gi", "ephemeral-storage": "12Gi"},
            requests={"cpu": "500m", "memory": "1Gi"},
        ),
        gateway_host="forebay-gateway.forebay-system.svc.cluster.local",
    )
    return replace(usual, **changes)


def a_pool(device: DeviceClass = GPU, **changes: Any) -> Pool:
    return replace(Pool(namespace="default", device=device), **changes)


def a_start(**changes: Any) -> StartConversion:
    usual = StartConversion(
        id=ConversionId("default", "c" * 64),
        attempt=1,
        source=Source(uri="s3://models/m.onnx", format="onnx"),
        verification=Verification(),
        max_batch_size=32,
    )
    return replace(usual, **changes)


def a_conversion_order(uri: str = "s3://models/m.onnx") -> ConversionOrder:
    options = ConversionOptions(source=ConversionSource(uri=uri))
    return ConversionOrder(namespace="default", store="s3://bucket/models", options=options)


def an_object(kind: Kind, name: str, **content: Any) -> Json:
    """An object with what API servers add: a uid, a version, the time of its creation."""
    metadata: Json = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{next(_uids)}",
        "resourceVersion": str(next(_versions)),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **content.pop("metadata", {}),
    }
    if not kind.namespaced:
        del metadata["namespace"]
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **content}


def changed(content: Json, **changes: Any) -> Json:
    """The same object in a later version."""
    metadata = {**content["metadata"], **changes.pop("metadata", {}), "resourceVersion": str(next(_versions))}
    return {**content, **changes, "metadata": metadata}
