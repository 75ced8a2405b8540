"""Why a model is as it is, in sentences: what was asked, what was decided and what is missing, as every world tells it."""

from dataclasses import dataclass
from typing import Final

from forebay_operator.domain.deployment import Deployment, DeploymentSpec
from forebay_operator.domain.routes import Route, RouteState
from forebay_operator.domain.status import Artifact, ConditionStatus, ConditionType, DeploymentStatus, FootprintSource
from forebay_operator.domain.wording import bytes_text, counted, seconds_text

_LONGEST_URI: Final = 100


@dataclass(frozen=True, slots=True)
class Chapter:
    """One link of a causal chain."""

    title: str
    lines: tuple[str, ...]


def asked(spec: DeploymentSpec) -> list[str]:
    """The wish."""
    uri = spec.source.uri if len(spec.source.uri) < _LONGEST_URI else f"{spec.source.uri[:60]}…"
    source = f"serve {uri}" + (f" ({spec.source.format})" if spec.source.format else "")
    lines = ["be stopped: keep the object, serve nothing"] if spec.stopped else []
    lines += [source, _replicas_asked(spec), _device_asked(spec)]
    if spec.verification.min_accuracy is not None:
        lines.append(f"an accuracy of at least {spec.verification.min_accuracy}")
    return lines


def decided(status: DeploymentStatus | None) -> list[str]:
    """What the controller made of it. What it could not do is what is missing, and told there."""
    if status is None:
        return ["nothing yet"]
    lines = [f"revision {status.revision}"] if status.revision else []
    if status.footprint:
        lines.append(f"a replica takes {bytes_text(status.footprint.bytes)} ({_FOOTPRINTS[status.footprint.source]})")
    if status.scaling:
        lines.append(f"{counted(status.scaling.wanted, 'replica')} wanted")
        lines += [f"{past.from_replicas} → {past.to_replicas} replicas: {past.reason}" for past in status.scaling.decisions]
    for condition in status.conditions:
        if condition.status is ConditionStatus.TRUE or condition.type is ConditionType.AUTOSCALING:
            lines.append(f"{condition.type.value}: {condition.message}")
    return lines


def missing(deployment: Deployment) -> list[str]:
    """What still stands in the way, each thing once, with what to do."""
    status = deployment.status
    if status is None:
        return ["the first look of the controller"]
    found = [status.condition(kind) for kind in (ConditionType.CONVERTED, ConditionType.PLACED, ConditionType.READY)]
    lines = [condition.message for condition in found if condition and condition.status is not ConditionStatus.TRUE]
    if status.observed_generation != deployment.generation:
        lines.append("the controller has not looked at the latest change yet")
    return list(dict.fromkeys(lines)) or ["nothing"]


def artifact_text(artifact: Artifact) -> str:
    """What a source was converted to, and how far it was proved."""
    proof = artifact.verification
    drawn = "drawn" if proof.samples_drawn else "given"
    accuracy = f", accuracy {proof.accuracy:.4f}" if proof.accuracy is not None else ""
    return (
        f"artifact {artifact.digest[:12]}, {bytes_text(artifact.size_bytes)}, by {artifact.converted_with};"
        f" agreement {proof.agreement:.4f} on {proof.samples} {drawn} samples{accuracy}"
    )


def route_text(route: Route) -> str:
    """What becomes of requests."""
    if route.state is RouteState.HELD:
        return "requests are held at the gateway until a replica is ready"
    if route.state is RouteState.STOPPED:
        return f"requests are refused: {route.reason}"
    shares = [f"{to.weight} % to revision {to.version} on {counted(len(to.endpoints), 'server')}" for to in route.versions]
    return f"requests go {', '.join(shares)}"


def _replicas_asked(spec: DeploymentSpec) -> str:
    scaling = spec.autoscaling
    if scaling is None:
        return counted(spec.replicas, "replica")
    bounds = f"{scaling.min_replicas} to {scaling.max_replicas} replicas, {scaling.target_queue_depth:g} waiting requests each"
    idle = f", none after {seconds_text(scaling.idle_timeout_s)} without requests" if scaling.min_replicas == 0 else ""
    return f"{bounds}, fewer after {seconds_text(scaling.scale_down_delay_s)}{idle}"


def _device_asked(spec: DeploymentSpec) -> str:
    place = spec.placement
    memory = f", {bytes_text(place.memory_bytes)} of its memory" if place.memory_bytes else ""
    kind = {"auto": "any device", "gpu": "a GPU", "cpu": "the CPU"}.get(place.device, place.device)
    return f"on {place.gpu_class or kind}{memory}{', alone' if place.exclusive else ''}"


_FOOTPRINTS: Final = {
    FootprintSource.MEASURED: "measured",
    FootprintSource.ESTIMATED: "estimated",
    FootprintSource.DECLARED: "declared",
}
