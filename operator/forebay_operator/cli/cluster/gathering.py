"""What an API server has about one model, gathered for people who may see it: what they may not see is named."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from forebay_operator import translate
from forebay_operator.api.refusals import refusals
from forebay_operator.api.status import ModelDeploymentStatus
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.cli.cluster.api import ClusterApi, HiddenError, NotThereError
from forebay_operator.cli.connection import NOT_THERE, CommandError, Json
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.revisions import identify
from forebay_operator.domain.status import DeploymentStatus
from forebay_operator.domain.wording import listed
from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import EVENTS, JOB_EVENTS, JOBS, MODEL_DEPLOYMENTS, PODS
from forebay_operator.worlds.kubernetes.claims import pool_of_server
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.addresses import ModelAddress

SERVERS: Final = f"{names.COMPONENT}={names.SERVER},{names.MANAGED_BY}"
"""Selects pods that are servers, or say so."""
_MOST_NAMES: Final = 20
"""How many models a message names."""
_METADATA: Final = frozenset({"name", "namespace", "uid", "generation", "annotations", "deletionTimestamp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """One model, and the objects that are about it."""

    deployment: Deployment
    """With its status."""
    jobs: Sequence[Seen]
    """Of its conversion, the latest attempt first."""
    job_pods: Sequence[Seen]
    servers: Sequence[Seen]
    """Every server pod of the namespace."""
    refused: str
    """Why a Job has no pod; empty: nothing is known to be in the way."""
    events: Sequence[Json]
    """About the model, oldest first."""
    hidden: Sequence[str]
    """What could not be seen, and why."""


def find_object(api: ClusterApi, address: ModelAddress) -> Json:
    """One ModelDeployment as the API server has it.

    Raises:
        CommandError: there is none; the message names those that are there.
    """
    try:
        return api.get(MODEL_DEPLOYMENTS.path(address.namespace, address.name))
    except NotThereError:
        known = [each["metadata"]["name"] for each in api.all(MODEL_DEPLOYMENTS.path(address.namespace))]
        message = f"there is no ModelDeployment {address}; namespace {address.namespace} has {_some_of(known)}"
        raise CommandError(message, NOT_THERE) from None


def _some_of(models: Sequence[str]) -> str:
    """A namespace may have thousands."""
    more = len(models) - _MOST_NAMES
    return listed([*models[:_MOST_NAMES], *([f"{more} more"] if more > 0 else [])]) or "none"


def gather(api: ClusterApi, address: ModelAddress) -> Gathered:
    """Read everything about a model."""
    deployment = deployment_of(find_object(api, address))
    look = _Look(api, address.namespace)
    label = names.conversion_label(identify(address.namespace, deployment.spec).conversion)
    jobs = sorted(look.jobs(label), key=_attempt, reverse=True)
    job_pods = look.pods(f"{names.CONVERSION_ID}={label}") if jobs else []
    return Gathered(
        deployment=deployment,
        jobs=jobs,
        job_pods=job_pods,
        servers=servers_among(look.pods(SERVERS)),
        refused=look.refused_pods(jobs[0]) if jobs and not job_pods else "",
        events=look.events(deployment.uid),
        hidden=look.hidden,
    )


def servers_among(pods: Iterable[Seen]) -> list[Seen]:
    """Those that the operator believes to be servers: anybody can label a pod."""
    return [pod for pod in pods if pool_of_server(pod) is not None]


def deployment_of(content: Json) -> Deployment:
    """An object as the control step sees it.

    Raises:
        CommandError: this version of ours does not know what is in it.
    """
    wanted = {key: value for key, value in content.items() if key != "status"}
    wanted["metadata"] = {key: value for key, value in content["metadata"].items() if key in _METADATA}
    try:
        deployment = translate.deployment_of(ModelDeployment.from_object(wanted))
    except ValidationError as error:
        why = "; ".join(f"{each.field}: {each.message}" for each in refusals(error))
        raise CommandError(
            f"{_name_of(content)} cannot be read ({why}): correct it, or use the forebay of the cluster's version"
        ) from None
    return replace(deployment, status=_status_of(content))


def _name_of(content: Json) -> str:
    return f"{content['metadata'].get('namespace', 'default')}/{content['metadata']['name']}"


def _status_of(content: Json) -> DeploymentStatus | None:
    if not content.get("status"):
        return None
    try:
        return translate.status_of(ModelDeploymentStatus.from_object(content["status"]))
    except (ValidationError, ValueError):
        # Of a newer operator, or written by hand: what can be told without it is told.
        return None


def _attempt(job: Seen) -> int:
    text = job.annotations.get(names.ATTEMPT, "")
    return int(text) if text.isdecimal() else 1


class _Look:
    """Listings of one namespace; those that this user may not see are noted instead."""

    def __init__(self, api: ClusterApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self.hidden: list[str] = []

    def jobs(self, label: str) -> list[Seen]:
        path, selector = JOBS.path(self._namespace), f"{names.CONVERSION_ID}={label}"
        return [Seen.of(each) for each in self._all("conversions", lambda: self._api.all(path, labelSelector=selector))]

    def pods(self, selector: str) -> list[Seen]:
        path = PODS.path(self._namespace)
        return [Seen.of(each) for each in self._all("pods", lambda: self._api.all(path, labelSelector=selector))]

    def refused_pods(self, job: Seen) -> str:
        path = JOB_EVENTS.path(self._namespace)
        selector = f"involvedObject.uid={job.uid},reason=FailedCreate"
        found = self._all("events", lambda: self._api.all(path, fieldSelector=selector))
        return str(found[-1].get("message", "")) if found else ""

    def events(self, uid: str) -> list[Json]:
        path = EVENTS.path(self._namespace)
        found = self._all("events", lambda: self._api.all(path))
        about = [each for each in found if (each.get("regarding") or {}).get("uid") == uid]
        return sorted(about, key=moment_of)

    def _all(self, what: str, ask: Callable[[], list[Json]]) -> list[Json]:
        try:
            return ask()
        except (HiddenError, NotThereError) as error:
            note = f"{what} cannot be seen: {error}"
            if note not in self.hidden:
                self.hidden.append(note)
            return []


def moment_of(event: Json) -> str:
    """When an event happened last, as Kubernetes writes times; those of one second sort by their fractions."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")
