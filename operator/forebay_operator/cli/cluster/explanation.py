"""Why a model of a cluster is as it is: the same chain as on one machine, from the objects that people may see."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from forebay_operator.cli.cluster.gathering import Gathered, moment_of
from forebay_operator.cli.connection import Json
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.routes import Route, RouteState
from forebay_operator.domain.wording import seconds_text
from forebay_operator.manifests import names
from forebay_operator.worlds.explanation import Chapter, artifact_text, asked, decided, missing, route_text
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.conversion_pods import progress_of
from forebay_operator.worlds.kubernetes.store import Seen

_LATELY: Final = 8
_NO_OPERATOR: Final = (
    "if it stays so: see whether the operator runs (kubectl get pods --all-namespaces"
    " -l app.kubernetes.io/name=forebay-operator), and whether this namespace is one of its namespaces"
)


def explain(found: Gathered, now: float) -> tuple[Chapter, ...]:
    """The causal chain of one ModelDeployment. `now`: seconds since the epoch."""
    deployment = found.deployment
    stands_in_the_way = missing(deployment)
    if deployment.status is None:
        stands_in_the_way.append(_NO_OPERATOR)
    return (
        Chapter("Asked", tuple(asked(deployment.spec))),
        Chapter("Seen", (*_conversion(found, now), *_servers(found), *_queue(deployment), *found.hidden)),
        Chapter("Decided", (*decided(deployment.status), *_route(deployment))),
        Chapter("Missing", tuple(stands_in_the_way)),
        Chapter("Lately", tuple(_told(event, deployment) for event in found.events[-_LATELY:])),
    )


def versions_of(pod: Seen, deployment: Deployment) -> list[int]:
    """The revisions that requests go to in a pod."""
    address = pods.address_of(pod)
    traffic = deployment.status.traffic if deployment.status else ()
    return [share.version for share in traffic if any(endpoint.host == address for endpoint in share.endpoints)]


def state_of(pod: Seen) -> str:
    """A word for how it is."""
    if pod.is_going:
        return "draining"
    if pods.has_ended(pod):
        return "ended"
    if pods.is_ready(pod):
        return "ready"
    return "not ready" if pods.is_running(pod) else "starting"


def _conversion(found: Gathered, now: float) -> Iterator[str]:
    artifact = found.deployment.status.artifact if found.deployment.status else None
    if not found.jobs:
        yield f"converted: {artifact_text(artifact)}" if artifact else "no conversion yet"
        return
    job = found.jobs[0]
    attempt = f"attempt {job.annotations.get(names.ATTEMPT, '1')}, Job {job.name}"
    status = job.object.get("status") or {}
    if pods.condition(status, "Failed").get("status") == "True":
        yield f"conversion failed ({attempt})"
    elif pods.condition(status, "Complete").get("status") == "True":
        yield f"converted ({attempt})" + (f": {artifact_text(artifact)}" if artifact else "")
    else:
        yield f"conversion runs for {seconds_text(now - pods.created_at(job))} ({attempt}): {_progress(found)}"


def _progress(found: Gathered) -> str:
    if not found.job_pods:
        return pods.refused_pod(found.refused) if found.refused else "its pod is being made"
    return progress_of(max(found.job_pods, key=pods.created_at))


def _servers(found: Gathered) -> Iterator[str]:
    held = False
    for pod in found.servers:
        for version in versions_of(pod, found.deployment):
            held = True
            yield f"pod {pod.name} ({state_of(pod)}, node {_node(pod)}) holds revision {version}"
    if not held:
        yield "no server holds it"
    for pod in found.servers:
        if (hindrance := pods.hindrance(pod)) and pod.labels.get(names.MODEL) in (None, found.deployment.address.name):
            yield f"pod {pod.name} does not start. {hindrance}"


def _node(pod: Seen) -> str:
    return str((pod.object.get("spec") or {}).get("nodeName") or "none")


def _queue(deployment: Deployment) -> Iterator[str]:
    scaling = deployment.status.scaling if deployment.status else None
    if scaling is not None:
        yield f"{scaling.queue_depth:g} waiting requests per replica, as the operator last wrote"


def _route(deployment: Deployment) -> Iterator[str]:
    status = deployment.status
    if status is None:
        return
    if status.traffic:
        yield route_text(Route(address=deployment.address, state=RouteState.ROUTED, versions=status.traffic))
    elif not deployment.spec.stopped:
        yield route_text(Route(address=deployment.address, state=RouteState.HELD))


def _told(event: Json, deployment: Deployment) -> str:
    moment = moment_of(event)
    clock = f"{datetime.fromisoformat(moment).astimezone():%H:%M:%S}" if moment else "--:--:--"
    note = str(event.get("note", ""))
    known = deployment.status is not None and note == deployment.status.summary
    return f"{clock}  {event.get('reason', '')}: {'as it is now' if known else note}"
