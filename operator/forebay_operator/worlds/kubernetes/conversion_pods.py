"""What the pod of a conversion says: how far it is, and, when it has ended, what became of it and why."""

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

from forebay_operator.domain.snapshot import ConversionFailure
from forebay_operator.domain.status import Artifact
from forebay_operator.worlds.conversion_documents import outcome_of
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.conversion import ConversionResult
from forebay_schema.conversion_stages import ConversionStage
from forebay_schema.documents import DocumentError

_STAGES: Final[tuple[ConversionStage, ...]] = get_args(ConversionStage)
_DOING: Final[Mapping[ConversionStage, str]] = {
    "fetch": "its source is being fetched",
    "find": "the store is being searched for an earlier conversion",
    "convert": "its source is being converted in the sandbox",
    "publish": "the converted model is being verified and published",
}
_TOO_MUCH_DISK: Final = ("exceeds the limit", "exceeds the total limit", "exceeded its local ephemeral storage limit")
"""What kubelets say of pods that they end for what these wrote, and not for what their node lacks."""
_NOT_STARTED: Final = frozenset({"StartError", "ContainerCannotRun"})
_LOST: Final = "ContainerStatusUnknown"
_LOG: Final = "Look into its log: `kubectl logs --all-containers job/…`."
_MOST_TEXT: Final = 250
_DIGEST: Final = re.compile("[0-9a-f]{64}")


def progress_of(pod: Seen) -> str:
    """How far a conversion is, or what is in its way."""
    if pod.is_going:
        why = pods.disruption(pod)
        return f"its pod {pod.name} is being ended{why and f' ({why})'}: if its node is gone for good, delete the Node"
    if hindrance := pods.hindrance(pod):
        return f"its pod {pod.name} does not start: {hindrance[:1].lower()}{hindrance[1:]}"
    running: ConversionStage | None = next((stage for stage in _STAGES if "running" in _state(pod, stage)), None)
    if running is not None:
        return _DOING[running]
    return f"its pod {pod.name} has ended" if pods.has_ended(pod) else f"its pod {pod.name} starts"


def outcome_in(pod: Seen) -> Artifact | ConversionFailure | None:
    """What the stages of an ended pod said themselves; None: nothing.

    Only `publish` is believed to have an artifact: `convert` opens what its author may have made to deceive.
    """
    for stage in _STAGES:
        ended = pods.termination_of(pod, stage)
        said = _said(ended.message) if ended is not None else None
        if said is not None and (stage == "publish" or (isinstance(said, ConversionFailure) and ended and ended.exit_code)):
            return said
    return None


def failure_of(pod: Seen) -> ConversionFailure:
    """Why a pod failed whose stages said nothing."""
    if why := pods.evicted(pod):
        return _ended_by_node(pod, why)
    for stage in _STAGES:
        ended = pods.termination_of(pod, stage)
        if ended is not None and (ended.exit_code or ended.reason == "OOMKilled"):
            return _how_it_ended(pod, stage, ended)
    return pod_is_gone(pod)


def pod_is_gone(pod: Seen | None = None) -> ConversionFailure:
    """Of a Job that failed without a pod, or with one that tells nothing."""
    why = pods.disruption(pod) if pod is not None else ""
    cause = f"Its pod was taken away ({why})." if why else "Its pod is gone and left no result."
    return _failure("convert", cause, "See what removes pods there if it happens again.", retryable=True)


def _ended_by_node(pod: Seen, why: str) -> ConversionFailure:
    reason = str((pod.object.get("status") or {}).get("reason", ""))
    if reason == "DeadlineExceeded":
        return _too_late(pod)
    if any(part in why for part in _TOO_MUCH_DISK):
        remedy = "Raise the room and the ephemeral-storage limit of conversions, or use a smaller source."
        return _failure("convert", f"It wrote more than conversions may write ({why}).", remedy)
    return _failure("convert", f"Its pod was ended by its node ({why}).", "Free the node if it happens again.", retryable=True)


def _too_late(pod: Seen) -> ConversionFailure:
    """Its own time limit is shorter than its pod's: the pod was late before it began, and may be in time later."""
    seconds = (pod.object.get("spec") or {}).get("activeDeadlineSeconds")
    limit = f"within {seconds} s" if seconds else "in time"
    if any(_has_started(pod, stage) for stage in _STAGES):
        remedy = "Raise the deadline of conversions if it happens again."
        return _failure("convert", f"It did not end {limit}.", remedy, retryable=True)
    remedy = pods.hindrance(pod) or f"See why: `kubectl describe pod {pod.name}`."
    return _failure("convert", f"Its pod did not start {limit}.", remedy, retryable=True)


def _how_it_ended(pod: Seen, stage: ConversionStage, ended: pods.Termination) -> ConversionFailure:
    if ended.reason == "OOMKilled":
        limit = _memory_limit(pod, stage)
        cause = f"Its stage {stage} needed more memory than its limit{limit and f' of {limit}'}."
        return _failure(stage, cause, "Raise the memory limit of conversions, or use a smaller model.")
    said = _last_line(ended.message)
    if ended.reason in _NOT_STARTED:
        cause = f"Its container {stage} could not be started{said and f' ({said})'}."
        return _failure(stage, cause, "Check the image of conversions.", retryable=True)
    if ended.reason == _LOST:
        return _failure(stage, "Its node lost its container.", "See whether the node is well.", retryable=True)
    cause = f"Its container {stage} ended with exit status {ended.exit_code} and left no result{said and f' ({said})'}."
    return _failure(stage, cause, _LOG, retryable=True)


def _said(message: str) -> Artifact | ConversionFailure | None:
    try:
        said = outcome_of(ConversionResult.from_json(message)) if message else None
    except DocumentError:
        return None
    # It becomes a part of paths in the store.
    is_path = isinstance(said, Artifact) and not _DIGEST.fullmatch(said.digest)
    return None if is_path else said


def _has_started(pod: Seen, stage: ConversionStage) -> bool:
    """Whether its container runs or ran: one that never did may be shown as terminated, too, but without a start."""
    state = _state(pod, stage)
    return "running" in state or bool((state.get("terminated") or {}).get("startedAt"))


def _state(pod: Seen, stage: ConversionStage) -> Mapping[str, Any]:
    return next((each.get("state") or {} for each in pods.container_statuses(pod) if each.get("name") == stage), {})


def _memory_limit(pod: Seen, stage: ConversionStage) -> str:
    spec: Mapping[str, Any] = pod.object.get("spec") or {}
    for each in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        if each.get("name") == stage:
            return str(((each.get("resources") or {}).get("limits") or {}).get("memory", ""))
    return ""


def _last_line(message: str) -> str:
    """Of a container's last words, the last."""
    lines = [line for line in message.splitlines() if line.strip()]
    return "".join(character for character in lines[-1].strip() if character.isprintable())[-_MOST_TEXT:] if lines else ""


def _failure(stage: ConversionStage, cause: str, remedy: str, *, retryable: bool = False) -> ConversionFailure:
    said = "publish" if stage == "find" else stage
    return ConversionFailure(stage=said, cause=cause, remedy=remedy, retryable=retryable)
