"""What is said of each ModelDeployment: the step's status, and Events of what is news in it."""

from typing import Final

from forebay_operator import translate
from forebay_operator.api.status import MAX_SENTENCE
from forebay_operator.domain.actions import WriteStatus
from forebay_operator.domain.diagnosis import FAILURES
from forebay_operator.domain.status import ConditionStatus, ConditionType, DeploymentStatus, ScalingDecision
from forebay_operator.manifests.event import News, Subject
from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, Json
from forebay_operator.manifests.status import status as status_manifest
from forebay_operator.worlds.kubernetes.models import Model, Models, own_status
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_operator.worlds.kubernetes.writer import Tell, Writer
from forebay_schema.addresses import ModelAddress

_ARRIVALS: Final = frozenset({"Serving", "Stopped"})
"""Reasons of the Ready condition that are worth an Event; what lies on the way there is not."""


class Statuses:
    """Writes statuses that differ from what is there."""

    def __init__(self, models: Models, writer: Writer, tell: Tell) -> None:
        self._models = models
        self._writer = writer
        self._tell = tell
        self._latest: dict[ModelAddress, WriteStatus] = {}
        """The newest status of the step for each model."""
        self._content: dict[ModelAddress, tuple[WriteStatus, Json]] = {}
        self._fine: object = None
        """What bears on statuses when all of them were as they should be."""
        self._orders = 0
        self._settled: dict[ModelAddress, tuple[Seen, WriteStatus | None]] = {}
        """Objects that were compared with what is to be said, and found to say it."""

    def write(self, action: WriteStatus) -> None:
        model = self._models.find(action.address)
        if model is None or model.seen.uid != action.uid:
            return
        if model.deployment is not None:
            self._announce(model, action)
        self._latest[action.address] = action
        self._orders += 1

    def keep(self) -> None:
        """Write what is not said yet, first where somebody waits for it: where the spec is newer than the status."""
        revisions = (self._models.revision, self._orders)
        if revisions == self._fine:
            return
        pending = [model for model in self._models.all() if not self._is_settled(model)]
        pending.sort(key=_urgency)
        for model in pending:
            if self._writer.is_full:
                break
            self._say(model)
        self._fine = None if pending else revisions
        self._forget_absent()

    def _is_settled(self, model: Model) -> bool:
        action = self._action_for(model)
        if action is None and model.deployment is not None:
            return True
        settled = self._settled.get(model.address)
        return settled is not None and settled[0] is model.seen and settled[1] is action

    def _say(self, model: Model) -> None:
        action = self._action_for(model)
        content = _refused(model) if action is None else self._content_of(action)
        if own_status(model.seen) == content:
            self._settled[model.address] = (model.seen, action)
        else:
            self._writer.set_status(MODEL_DEPLOYMENTS, status_manifest(model.seen.namespace, model.seen.name, content))

    def _action_for(self, model: Model) -> WriteStatus | None:
        """The step's newest status of this very object; None: there is none, or the object cannot be understood."""
        action = self._latest.get(model.address) if model.deployment is not None else None
        return action if action is not None and action.uid == model.seen.uid else None

    def _content_of(self, action: WriteStatus) -> Json:
        """What a status is in the API, made once for each."""
        known = self._content.get(action.address)
        if known is not None and known[0] is action:
            return known[1]
        content = translate.status_to_api(action.status).to_object()
        self._content[action.address] = (action, content)
        self._models.said(action.address, action.uid, action.status, content)
        return content

    def _forget_absent(self) -> None:
        for known in (self._latest, self._content, self._settled):
            for address in (
                [each for each in known if self._models.find(each) is None] if len(known) > self._models.count else ()
            ):
                known.pop(address)

    def _announce(self, model: Model, action: WriteStatus) -> None:
        """Tell what a person wants to know afterwards: decisions, and that it became ready or ceased to be, and why."""
        before = self._latest.get(action.address)
        known = before.status if before else (model.deployment.status if model.deployment else None)
        subject = Subject(MODEL_DEPLOYMENTS, model.seen.namespace, model.seen.name, model.seen.uid)
        for news in changes(known, action.status):
            self._tell(subject, news)


def changes(before: DeploymentStatus | None, after: DeploymentStatus) -> list[News]:
    """What is news in a status."""
    told = [
        News("Normal", "Scaled", "Scale", f"{each.from_replicas} to {each.to_replicas} replicas: {each.reason}")
        for each in _decisions(after)
        if each not in _decisions(before)
    ]
    was, now = before.condition(ConditionType.READY) if before else None, after.condition(ConditionType.READY)
    if now is None or (was is not None and (was.status, was.reason) == (now.status, now.reason)):
        return told
    if now.reason in FAILURES:
        told.append(News("Warning", now.reason, "Serve", after.summary))
    elif now.reason in _ARRIVALS or (was is not None and was.status is ConditionStatus.TRUE):
        told.append(News("Normal", now.reason, "Serve", after.summary))
    return told


def _decisions(status: DeploymentStatus | None) -> tuple[ScalingDecision, ...]:
    return status.scaling.decisions if status and status.scaling else ()


def _urgency(model: Model) -> tuple[bool, int]:
    """First come those whose status is about an older spec, and of these what changed last: somebody looks at it now."""
    status = model.seen.object.get("status") or {}
    is_answered = status.get("observedGeneration", 0) == model.seen.metadata.get("generation", 0)
    return is_answered, -model.seen.version


def _refused(model: Model) -> Json:
    """The status of an object that breaks rules which its API server did not check: as it was, but for the summary."""
    status = dict(own_status(model.seen))
    text = f"Not ready: it cannot be understood: {model.problem}; correct the spec, or upgrade the CustomResourceDefinition."
    return {**status, "summary": text[:MAX_SENTENCE]}
