"""What is said of each ModelDeployment: the step's status, and what it cannot know: refusals of the API server."""

from typing import Final

from forebay_operator import translate
from forebay_operator.api.status import MAX_SENTENCE
from forebay_operator.domain.actions import WriteStatus
from forebay_operator.domain.status import ConditionStatus, ConditionType, DeploymentStatus, ScalingDecision
from forebay_operator.manifests.event import News, Subject
from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, SERVICES, Json, Ref
from forebay_operator.manifests.status import status as status_manifest
from forebay_operator.worlds.kubernetes.models import Model, Models, own_status
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_operator.worlds.kubernetes.writer import Tell, Writer
from forebay_schema.addresses import ModelAddress

_FAILURES: Final = frozenset({"ConversionFailed", "LoadFailed", "NoRoom", "NoDevice"})
_ARRIVALS: Final = frozenset({"Serving", "Stopped"})
"""Reasons of the Ready condition that are worth an Event; what lies on the way there is not."""


class Statuses:
    """Writes statuses that differ from what is there."""

    def __init__(self, models: Models, writer: Writer, tell: Tell) -> None:
        self._models = models
        self._writer = writer
        self._tell = tell
        self._latest: dict[ModelAddress, WriteStatus] = {}
        """The newest status of the step for each model, without what is added here."""
        self._content: dict[ModelAddress, tuple[WriteStatus, str | None, Json]] = {}
        self._fine: object = None
        """What bears on statuses when all of them were as they should be."""
        self._orders = 0
        self._settled: dict[ModelAddress, tuple[Seen, Json]] = {}
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
        """Write what is not said yet."""
        revisions = (self._models.revision, self._orders, self._writer.refusals_revision)
        if revisions == self._fine:
            return
        is_fine = True
        present: set[ModelAddress] = set()
        for model in self._models.all():
            address = ModelAddress(model.seen.namespace, model.seen.name)
            present.add(address)
            if self._writer.is_full:
                is_fine = False
            elif model.deployment is None:
                is_fine = self._apply(model, _refused(model)) and is_fine
            else:
                is_fine = self._keep(model, address) and is_fine
        self._fine = revisions if is_fine else None
        if len(self._latest) > len(present):
            self._latest = {address: action for address, action in self._latest.items() if address in present}
            self._content = {address: content for address, content in self._content.items() if address in present}
            self._settled = {address: settled for address, settled in self._settled.items() if address in present}

    def _keep(self, model: Model, address: ModelAddress) -> bool:
        """Whether there was nothing to do."""
        action = self._latest.get(address)
        if action is None or action.uid != model.seen.uid:
            if self._trouble(address) is None or model.deployment is None or model.deployment.status is None:
                return True
            # Nothing new from the step: what it said last is said with the trouble.
            action = WriteStatus(address=address, uid=model.seen.uid, status=model.deployment.status)
            self._latest[address] = action
        content = self._content_of(action, address)
        settled = self._settled.get(address)
        if settled is not None and settled[0] is model.seen and settled[1] is content:
            return True
        return self._apply(model, content)

    def _content_of(self, action: WriteStatus, address: ModelAddress) -> Json:
        """What a status is in the API, made once for each."""
        trouble = self._trouble(address)
        known = self._content.get(address)
        if known is not None and known[0] is action and known[1] == trouble:
            return known[2]
        content = translate.status_to_api(action.status).to_object()
        if trouble:
            content["summary"] = _both(str(content.get("summary", "")), trouble)
        self._content[address] = (action, trouble, content)
        self._models.said(address, action.uid, action.status, content)
        return content

    def _trouble(self, address: ModelAddress) -> str | None:
        """What the API server refused of what this model needs for itself."""
        refused = self._writer.refusals.get((Ref(SERVICES.name, address.namespace, address.name), ""))
        return refused.sentence if refused else None

    def _apply(self, model: Model, content: Json) -> bool:
        if own_status(model.seen) == content:
            self._settled[ModelAddress(model.seen.namespace, model.seen.name)] = (model.seen, content)
            return True
        self._writer.set_status(MODEL_DEPLOYMENTS, status_manifest(model.seen.namespace, model.seen.name, content))
        return False

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
    if now.reason in _FAILURES:
        told.append(News("Warning", now.reason, "Serve", after.summary))
    elif now.reason in _ARRIVALS or (was is not None and was.status is ConditionStatus.TRUE):
        told.append(News("Normal", now.reason, "Serve", after.summary))
    return told


def _decisions(status: DeploymentStatus | None) -> tuple[ScalingDecision, ...]:
    return status.scaling.decisions if status and status.scaling else ()


def _both(summary: str, trouble: str) -> str:
    text = f"{summary} But {trouble}.".strip()
    return text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 1]}…"


def _refused(model: Model) -> Json:
    """The status of an object that breaks rules which its API server did not check: as it was, but for the summary."""
    status = dict(own_status(model.seen))
    text = f"Not ready: it cannot be understood: {model.problem}; correct the spec, or upgrade the CustomResourceDefinition."
    return {**status, "summary": text[:MAX_SENTENCE]}
