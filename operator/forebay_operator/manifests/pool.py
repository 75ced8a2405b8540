"""The Deployment of a pool: its servers are alike, one to a pod, each with one device.

There is one for each pool and digest of the pod template, and it never changes but for the number of its replicas: a pool
whose template changes gets a second one, and nothing restarts unasked.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from forebay_operator.api.pods import PodTemplate
from forebay_operator.domain.snapshot import DeviceClass, Pool
from forebay_operator.manifests import names, security
from forebay_operator.manifests.installation import GPU_PRODUCT, GPU_RESOURCE, Installation, Ports, ServerSettings, pod_basics
from forebay_operator.manifests.kinds import DEPLOYMENTS, Json
from forebay_operator.manifests.owners import Owner, owned_by
from forebay_operator.manifests.quantities import canonical, mebibytes, whole
from forebay_schema.digests import canonical_json
from forebay_schema.network import ANY

CONTAINER: Final = "server"
TOKEN_FOLDER: Final = "/var/run/forebay/token"
SCRATCH: Final = "/scratch"
STORE_VOLUME: Final = "store"
_GRACE_S: Final = 10
_KINDS: Final = ("cpu", "gpu", "simulated")
_MOST_BYTES: Final = 2**63 - 1
_SPREAD_OVER: Final = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")


@dataclass(frozen=True, slots=True)
class PoolTemplate:
    """The pods of a pool, and what tells them from pods made another way."""

    pool: Pool
    content: Json
    digest: str

    @property
    def deployment(self) -> str:
        return names.pool_deployment(self.pool, self.digest)


def template(pool: Pool, installation: Installation) -> PoolTemplate:
    """What the servers of a pool are made by now."""
    changes: Json = json.loads(pool.template) if pool.template else {}
    content: Json = {"metadata": _pod_metadata(pool, installation, changes), "spec": _pod_spec(pool, installation, changes)}
    digest = names.template_digest(content)
    content["metadata"]["labels"] |= {names.TEMPLATE: digest}
    return PoolTemplate(pool, content, digest)


def deployment(made: PoolTemplate, servers: int, owners: Iterable[Owner] = ()) -> Json:
    """The Deployment with this many servers. `owners`: the ModelDeployments that it goes with."""
    pool = made.pool
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.name,
        "metadata": {
            "name": made.deployment,
            "namespace": pool.namespace,
            "labels": _labels(pool) | {names.TEMPLATE: made.digest},
            "annotations": {names.POOL: pool_text(pool), names.SERVERS: str(servers)},
        }
        | owned_by(owners),
        "spec": {
            "replicas": servers,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {names.POOL: names.pool_digest(pool), names.TEMPLATE: made.digest}},
            "template": made.content,
        },
    }


def pool_text(pool: Pool) -> str:
    """A pool as the text of an annotation."""
    return canonical_json(asdict(pool)).decode()


def pool_of(text: str) -> Pool | None:
    """The pool that an annotation names; None: it names none."""
    try:
        said: dict[str, Any] = json.loads(text)
        pool = Pool(device=DeviceClass(**said.pop("device")), **said)
        return pool if _could_be(pool) else None
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None


def _could_be(pool: Pool) -> bool:
    """Whether a pool that somebody wrote down has what pools have; may raise as well."""
    device = pool.device
    texts: tuple[object, ...] = (pool.namespace, pool.exclusive, pool.template, device.kind, device.name)
    size: object = device.memory_bytes
    if any(type(text) is not str for text in texts) or type(size) is not int or not 0 < size <= _MOST_BYTES:
        return False
    if pool.template:
        PodTemplate.from_object(json.loads(pool.template))
    # Not every text has a digest: lone surrogates.
    return device.kind in _KINDS and bool(names.pool_digest(pool))


def _labels(pool: Pool) -> dict[str, str]:
    instance = names.slug(pool.exclusive or pool.device.name)
    model = {names.MODEL: pool.exclusive} if pool.exclusive else {}
    return names.labels(names.SERVER, instance) | {names.POOL: names.pool_digest(pool)} | model


def _pod_metadata(pool: Pool, installation: Installation, changes: Json) -> Json:
    settings = installation.servers
    annotations = {**settings.pod_annotations, names.POOL: pool_text(pool), names.LOGS: CONTAINER}
    return {"labels": {**changes.get("labels", {}), **settings.pod_labels, **_labels(pool)}, "annotations": annotations}


def _pod_spec(pool: Pool, installation: Installation, changes: Json) -> Json:
    settings = installation.servers
    # A model narrows where its servers go; it does not leave the nodes that were meant for them.
    selector = {**changes.get("nodeSelector", {}), **settings.node_selector, **_selector(pool.device)}
    tolerations = [*_tolerations(pool.device), *settings.tolerations, *changes.get("tolerations", [])]
    return {
        **security.pod(installation.pod_user),
        **pod_basics(installation, settings),
        **_runtime_class(pool.device, settings.gpu_runtime_class),
        "terminationGracePeriodSeconds": settings.drain_s + _GRACE_S,
        **({"nodeSelector": selector} if selector else {}),
        **({"tolerations": tolerations} if tolerations else {}),
        "topologySpreadConstraints": [_spread(pool, key) for key in _SPREAD_OVER],
        "containers": [_container(pool, installation, changes)],
        "volumes": _volumes(installation),
    }


def _container(pool: Pool, installation: Installation, changes: Json) -> Json:
    settings = installation.servers
    store = installation.store
    mounts = [{"name": "scratch", "mountPath": SCRATCH}, {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True}]
    if store.claim:
        mounts.append({"name": STORE_VOLUME, "mountPath": store.uri.removeprefix("file://"), "readOnly": True})
    secret = store.reading_secret
    return {
        "name": CONTAINER,
        "image": settings.gpu_image if pool.device.kind == "gpu" else settings.cpu_image,
        "imagePullPolicy": installation.pull_policy,
        "args": _arguments(pool.device, settings),
        "env": _environment(settings, changes),
        **({"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}),
        "ports": _ports(settings.ports),
        "resources": _resources(pool.device, installation, changes),
        # A slow start is not a hang: drivers, a cold disk. How long it may take in all is the step's to say.
        "startupProbe": _probe("/v2/health/live", period_s=1, failures=600),
        "readinessProbe": _probe("/v2/health/ready", period_s=2, failures=3),
        "livenessProbe": _probe("/v2/health/live", period_s=10, failures=6),
        # What a server that ends again and again wrote last is told by its pod.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": security.container(),
        "volumeMounts": [*mounts, *settings.mounts],
    }


def _arguments(device: DeviceClass, settings: ServerSettings) -> list[str]:
    ports, pace = settings.ports, settings.simulated_pace
    named = {"gpu": "gpu:0", "cpu": "cpu"}.get(device.kind)
    if named is None:
        named = f"simulated:{device.memory_bytes}" + (f",pace={pace}" if pace else "")
    return [
        "--model-control-mode=explicit",
        # A server that loads a model takes orders and answers for its other models.
        "--strict-readiness=false",
        f"--http-address={ANY}",
        f"--grpc-address={ANY}",
        f"--metrics-address={ANY}",
        f"--http-port={ports.http}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-port={ports.metrics}",
        f"--device={named}",
        f"--device-memory={device.memory_bytes}",
        f"--scratch={SCRATCH}",
        f"--exit-timeout-secs={settings.drain_s}",
        f"--repository-token-file={TOKEN_FOLDER}/{names.TOKEN_KEY}",
    ]


def _environment(settings: ServerSettings, changes: Json) -> list[Json]:
    """Each variable once: ours before the model's, the model's before the installation's."""
    # Models are nobody else's business: onnxruntime reports home without the first.
    own = {"ORT_DISABLE_TELEMETRY": "1", "HOME": SCRATCH, "TMPDIR": SCRATCH}
    entries = [{"name": name, **said} for name, said in settings.environment.items()] + changes.get("env", [])
    by_name = {each["name"]: each for each in entries if each["name"] not in own}
    return [{"name": name, "value": value} for name, value in own.items()] + list(by_name.values())


def _ports(ports: Ports) -> list[Json]:
    numbers = {"http": ports.http, "grpc": ports.grpc, "metrics": ports.metrics}
    return [{"name": name, "containerPort": number, "protocol": "TCP"} for name, number in numbers.items()]


def _resources(device: DeviceClass, installation: Installation, changes: Json) -> Json:
    settings = installation.servers
    changed = changes.get("resources", {})
    limits = {**settings.limits, **changed.get("limits", {})}
    requests = {**settings.requests, **changed.get("requests", {})}
    if device.kind == "gpu":
        limits[GPU_RESOURCE] = "1"
    elif device.kind == "cpu" and "memory" not in changed.get("limits", {}):
        limits["memory"] = mebibytes(device.memory_bytes + (whole(settings.limits.get("memory", "")) or 0))
    return {"limits": _canonical(limits), "requests": _canonical(requests)}


def _canonical(quantities: Json) -> Json:
    return {name: canonical(quantity) for name, quantity in quantities.items()}


def _probe(path: str, *, period_s: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _selector(device: DeviceClass) -> dict[str, str]:
    return {GPU_PRODUCT: device.name} if device.kind == "gpu" else {}


def _runtime_class(device: DeviceClass, name: str) -> Json:
    return {"runtimeClassName": name} if name and device.kind == "gpu" else {}


def _spread(pool: Pool, topology_key: str) -> Json:
    """Servers of a pool apart, as far as that is possible: what takes a node, or a zone, takes few of them."""
    return {
        "maxSkew": 1,
        "topologyKey": topology_key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {names.POOL: names.pool_digest(pool)}},
    }


def _tolerations(device: DeviceClass) -> list[Json]:
    return [{"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}] if device.kind == "gpu" else []


def _secret_mode(installation: Installation) -> int:
    """Who reads it: the group of volumes, or everyone in the pod where the cluster sets none."""
    return 0o444 if installation.pod_user.group_of_volumes is None else 0o440


def _volumes(installation: Installation) -> list[Json]:
    volumes: list[Json] = [
        {"name": "scratch", "emptyDir": {"sizeLimit": canonical(installation.servers.scratch)}},
        {"name": "token", "secret": {"secretName": names.TOKEN_SECRET, "defaultMode": _secret_mode(installation)}},
        *installation.servers.volumes,
    ]
    if installation.store.claim:
        volumes.append({"name": STORE_VOLUME, "persistentVolumeClaim": {"claimName": installation.store.claim}})
    return volumes
