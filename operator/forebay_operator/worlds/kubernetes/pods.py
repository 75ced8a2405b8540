"""What a pod says of itself: whether it can answer, and, where it cannot start, why and what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from forebay_operator.domain.routes import Endpoint
from forebay_operator.worlds.kubernetes.store import Seen

_ENDED: Final = frozenset({"Failed", "Succeeded"})
_PULLING: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
_MOST_TEXT: Final = 250


@dataclass(frozen=True, slots=True)
class Termination:
    """How a container ended."""

    reason: str
    exit_code: int
    message: str
    """The termination message that it left."""


def has_ended(pod: Seen) -> bool:
    return _status(pod).get("phase") in _ENDED


def is_ready(pod: Seen) -> bool:
    """Whether the kubelet calls it ready."""
    return condition(_status(pod), "Ready").get("status") == "True"


def is_running(pod: Seen) -> bool:
    """Whether a container of it runs."""
    return any("running" in (each.get("state") or {}) for each in container_statuses(pod))


def created_at(seen: Seen) -> float:
    """When an object was made, in seconds since the epoch."""
    return moment(str(seen.metadata["creationTimestamp"]))


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def address_of(pod: Seen) -> str | None:
    """Its IP address, once it has one."""
    found = _status(pod).get("podIP")
    return str(found) if found else None


def ports_of(pod: Seen, container: str) -> Mapping[str, int]:
    """The named ports of a container."""
    spec: Mapping[str, Any] = pod.object.get("spec") or {}
    for each in spec.get("containers") or ():
        if each.get("name") == container:
            return {str(port.get("name", "")): int(port["containerPort"]) for port in each.get("ports") or ()}
    return {}


def endpoint_of(pod: Seen, container: str) -> Endpoint | None:
    """Where it answers, once it has an address."""
    address, ports = address_of(pod), ports_of(pod, container)
    if address is None or "http" not in ports or "grpc" not in ports:
        return None
    return Endpoint(address, ports["http"], ports["grpc"])


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of a kind, empty if there is none."""
    return next((each for each in status.get("conditions") or () if each.get("type") == kind), {})


def container_statuses(pod: Seen) -> Iterator[Mapping[str, Any]]:
    status = _status(pod)
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def termination_of(pod: Seen, container: str) -> Termination | None:
    """How a container ended; None: it has not."""
    for each in container_statuses(pod):
        ended = (each.get("state") or {}).get("terminated")
        if each.get("name") == container and ended:
            return Termination(str(ended.get("reason", "")), int(ended.get("exitCode", 0)), str(ended.get("message", "")))
    return None


def evicted(pod: Seen) -> str:
    """Why the whole pod was ended by its node; empty: it was not."""
    status = _status(pod)
    if status.get("phase") == "Failed" and status.get("reason"):
        return _short(f"{status['reason']}: {status.get('message', '')}".rstrip(": "))
    return ""


def disruption(pod: Seen) -> str:
    """Why the cluster takes the whole pod away: preemption, a drained or lost node. Empty: it does not."""
    found = condition(_status(pod), "DisruptionTarget")
    if found.get("status") != "True":
        return ""
    return _short(f"{found.get('reason', '')}: {found.get('message', '')}".strip(": "))


def hindrance(pod: Seen) -> str:
    """Why it does not run, with the remedy, as a sentence; empty: nothing is known to be wrong."""
    status = _status(pod)
    scheduled = condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return _unschedulable(str(scheduled.get("message", "")))
    for each in container_statuses(pod):
        if sentence := _waiting(each):
            return sentence
    return ""


def refused_pod(message: str) -> str:
    """Why no pod could be made at all, with the remedy, as a sentence."""
    said = _short(message)
    if "exceeded quota" in message:
        return f"The namespace's quota is used up ({said}): raise the ResourceQuota, or free what counts against it."
    if "PodSecurity" in message:
        return f"The namespace's pod security refuses it ({said}): allow it there, or change the pod template."
    if "webhook" in message:
        return f"A webhook refuses it ({said}): change what it asks for, or exempt Forebay's pods from it."
    if "LimitRange" in message or "maximum" in message or "minimum" in message:
        return f"The namespace's limits refuse it ({said}): change the LimitRange, or what the pod requests."
    return f"Its pod could not be made ({said}): correct that, and it is made by itself."


def _unschedulable(message: str) -> str:
    said = _short(message) or "the scheduler gives no reason"
    if "nvidia.com/gpu" in message:
        return f"No node has a free GPU for it ({said}): add a GPU node, or free a GPU."
    if "persistentvolumeclaim" in message.lower():
        return f"Its volume is not there ({said}): make the claim, or see why it is not bound."
    if "Insufficient" in message:
        return f"No node has room for it ({said}): add a node, or lower what it requests."
    return f"No node takes it ({said}): add a node that does, or change what it asks of nodes."


def _waiting(container: Mapping[str, Any]) -> str:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, said = str(waiting.get("reason", "")), _short(str(waiting.get("message", "")))
    if reason in _PULLING:
        return f"The image {container.get('image', '')} cannot be pulled ({said or reason}): check its name and pull secret."
    if reason == "CreateContainerConfigError":
        return f"Its container cannot be made ({said}): create what is missing, and it starts by itself."
    if reason == "CreateContainerError":
        return f"Its container cannot be made ({said}): look at the image and the pod."
    if reason == "CrashLoopBackOff":
        return f"It ends again and again ({_last_end(container) or said}): look into its log."
    return ""


def _last_end(container: Mapping[str, Any]) -> str:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if ended.get("reason") == "OOMKilled":
        return "it used more memory than its limit"
    return f"exit status {ended['exitCode']}" if "exitCode" in ended else ""


def _status(pod: Seen) -> Mapping[str, Any]:
    found: Mapping[str, Any] = pod.object.get("status") or {}
    return found


def _short(text: str) -> str:
    plain = " ".join(text.split()).rstrip(".")
    return plain if len(plain) <= _MOST_TEXT else f"{plain[: _MOST_TEXT - 1]}…"
