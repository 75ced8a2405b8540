"""A cluster at one moment, as `forebay top` shows it: as fresh as statuses are, which the operator writes at most every 10 s
where only figures change; and the load as gateways have it, where they can be asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from forebay_operator.cli.cluster.explanation import state_of, versions_of
from forebay_operator.cli.cluster.load import Load
from forebay_operator.cli.connection import Json
from forebay_operator.domain.deployment import Deployment
from forebay_operator.manifests import names
from forebay_operator.manifests.pool import pool_of
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.addresses import ModelAddress


def picture(
    deployments: Sequence[Deployment], servers: Sequence[Seen], load: Mapping[ModelAddress, Load] | None, now: float
) -> Json:
    """Models and server pods. What nobody here knows is None, also all of `load`. `now`: seconds since the epoch."""
    return {
        "time": now,
        "models": [_model(each, None if load is None else load.get(each.address, Load())) for each in deployments],
        "servers": [_server(pod, deployments) for pod in servers if not pods.has_ended(pod)],
    }


def _model(deployment: Deployment, load: Load | None) -> dict[str, Any]:
    status = deployment.status
    scaling = status.scaling if status else None
    ready = status.ready_replicas if status else 0
    queue = scaling.queue_depth if scaling else None
    waiting = None if queue is None else round(queue * max(1, ready))
    return {
        "namespace": deployment.address.namespace,
        "name": deployment.address.name,
        "ready": ready,
        "loading": max(0, status.replicas - ready) if status else 0,
        "wanted": scaling.wanted if scaling else deployment.spec.min_replicas,
        "waiting": waiting,
        **_load(load, waiting or 0),
        "summary": status.summary if status else "Not looked at yet.",
        "decision": scaling.decisions[-1].reason if scaling and scaling.decisions else "",
    }


def _load(load: Load | None, waiting: int) -> dict[str, int | None]:
    if load is None:
        return dict.fromkeys(("held", "executing", "arrivals", "completed"))
    # Gateways tell what is at servers from what is not, and no more: what has arrived and is nowhere any more has its answer.
    return {
        "held": load.held,
        "executing": max(0, load.in_flight - waiting),
        "arrivals": load.arrivals,
        "completed": max(0, load.arrivals - load.held - load.in_flight),
    }


def _server(pod: Seen, deployments: Sequence[Deployment]) -> dict[str, Any]:
    pool = pool_of(pod.annotations.get(names.POOL, ""))
    here = [each for each in deployments if each.address.namespace == pod.namespace]
    held = [(each, version) for each in here for version in versions_of(pod, each)]
    footprints = [each.status.footprint.bytes for each, _ in held if each.status and each.status.footprint]
    return {
        "name": pod.name,
        "namespace": pod.namespace,
        "device": pool.device.name if pool else "?",
        "kind": pool.device.kind if pool else "",
        "phase": state_of(pod),
        "memoryBytes": pool.device.memory_bytes if pool else 0,
        "usedBytes": sum(footprints),
        "message": pods.hindrance(pod),
        "holds": [{"model": each.address.name, "version": version, "phase": "ready"} for each, version in held],
    }
