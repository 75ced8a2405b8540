"""What Jobs, their pods and their Events mean: causes and remedies as statuses show them."""

from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.snapshot import Conversion, ConversionId, ConversionPhase
from forebay_operator.manifests.conversion import job
from forebay_operator.manifests.installation import ConversionSettings
from forebay_operator.manifests.kinds import JOB_EVENTS, JOBS, PODS
from forebay_operator.manifests.owners import Owner
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.conversions import Conversions
from forebay_operator.worlds.kubernetes.store import Store
from forebay_operator.worlds.kubernetes.writer import Writer
from forebay_schema.conversion import ConversionFailure as FailureDocument
from forebay_schema.conversion import ConversionResult
from forebay_schema.manifest import Verification
from kubernetes_builders import Json, a_conversion_order, a_start, an_installation, an_object

KEY = ConversionId("default", "c" * 64)
SUCCEEDED = ConversionResult(
    artifact="a" * 64,
    source_sha256="b" * 64,
    verification=Verification(samples=64, samples_from="drawn", max_relative_error=0.0, agreement=1.0),
)
REFUSED = ConversionResult(failure=FailureDocument(stage="load", cause="It is no model.", remedy="Give a model."))


def _no_owners(_: StartConversion) -> list[Owner]:
    return []


_api = ApiServer(Configuration())
"""Never called here: making one takes a while, as it reads certificates."""


class Scene:
    """Jobs as the API server has them."""

    def __init__(self) -> None:
        self.store = Store(lambda _: None)
        self.change()

    def change(self, **installation: Any) -> None:
        """An operator that starts with other settings."""
        writer = Writer(_api, self.store, lambda *_: None, lambda: None)
        self.conversions = Conversions(self.store, writer, an_installation(**installation), _no_owners, lambda: 1000.0)

    def add_job(self, attempt: int = 1, ended: str = "", reason: str = "") -> Json:
        manifest = job(a_start(attempt=attempt), a_conversion_order(), [], an_installation())
        condition = {"type": ended, "status": "True", "reason": reason, "lastTransitionTime": "2026-01-01T00:01:00Z"}
        made = an_object(JOBS, manifest["metadata"]["name"], metadata=manifest["metadata"], spec=manifest["spec"])
        made["status"] = {"conditions": [condition]} if ended else {}
        self.store.put(JOBS, made)
        return made

    def add_pod(self, of: Json, namespace: str = "default", **status: Any) -> None:
        metadata = {"namespace": namespace, "ownerReferences": [{"kind": "Job", "uid": of["metadata"]["uid"]}]}
        self.store.put(PODS, an_object(PODS, f"{of['metadata']['name']}-x", metadata=metadata, status=status))

    def seen(self) -> Conversion:
        (conversion,) = self.conversions.seen()
        return conversion


def _state(stage: str, state: Json) -> Json:
    """The statuses of the containers of a pod: those before the stage are done, those after it wait."""
    stages = ["fetch", "find", "convert", "publish"]
    at = stages.index(stage)
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    states = [*[done] * at, state, *[{"waiting": {"reason": "PodInitializing"}}] * (len(stages) - at - 1)]
    shown = [{"name": name, "state": each} for name, each in zip(stages, states, strict=True)]
    return {"initContainerStatuses": shown[:-1], "containerStatuses": shown[-1:]}


def _terminated(message: str = "", exit_code: int = 1, reason: str = "Error", stage: str = "publish") -> Json:
    return _state(stage, {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}})


@pytest.mark.parametrize(
    ("stage", "progress"),
    [("fetch", "fetched"), ("find", "searched"), ("convert", "in the sandbox"), ("publish", "verified and published")],
)
def test_a_job_that_runs_says_at_which_stage_it_is(stage: str, progress: str) -> None:
    scene = Scene()
    made = scene.add_job(attempt=2)
    scene.add_pod(made, phase="Running", **_state(stage, {"running": {}}))
    seen = scene.seen()
    assert (seen.id, seen.phase, seen.attempt) == (KEY, ConversionPhase.RUNNING, 2)
    assert progress in seen.progress


def test_the_result_is_the_termination_message_of_the_last_stage() -> None:
    scene = Scene()
    made = scene.add_job(ended="Complete")
    scene.add_pod(made, phase="Succeeded", **_terminated(SUCCEEDED.to_termination_message(), 0, "Completed"))
    seen = scene.seen()
    assert seen.phase is ConversionPhase.SUCCEEDED
    assert seen.artifact is not None
    assert seen.artifact.digest == "a" * 64
    assert seen.finished_at is not None
    assert seen.finished_at - seen.started_at == 60


@pytest.mark.parametrize("stage", ["fetch", "find", "convert", "publish"])
def test_what_a_stage_says_of_its_failure_is_believed_before_what_the_job_says(stage: str) -> None:
    scene = Scene()
    made = scene.add_job(ended="Failed", reason="BackoffLimitExceeded")
    scene.add_pod(made, phase="Failed", **_terminated(REFUSED.to_termination_message(), stage=stage))
    failure = scene.seen().failure
    assert failure is not None
    assert (failure.stage, failure.cause, failure.retryable) == ("load", "It is no model.", False)


@pytest.mark.parametrize("exit_code", [0, 1])
def test_an_artifact_that_another_stage_than_the_last_claims_is_not_believed(exit_code: int) -> None:
    scene = Scene()
    made = scene.add_job(ended="Failed")
    claimed = _terminated(SUCCEEDED.to_termination_message(), exit_code, "Error", stage="convert")
    scene.add_pod(made, phase="Failed", **claimed)
    seen = scene.seen()
    assert (seen.phase, seen.artifact) == (ConversionPhase.FAILED, None)


def test_a_pod_of_another_namespace_that_names_the_job_as_its_owner_is_not_believed() -> None:
    scene = Scene()
    made = scene.add_job(ended="Complete")
    scene.add_pod(made, "team-b", phase="Succeeded", **_terminated(SUCCEEDED.to_termination_message(), 0, "Completed"))
    assert scene.seen().artifact is None


@pytest.mark.parametrize("digest", ["../../team-b/artifacts/" + "a" * 64, "a" * 63, ""])
def test_an_artifact_whose_digest_is_none_is_not_believed(digest: str) -> None:
    scene = Scene()
    made = scene.add_job(ended="Complete")
    claimed = SUCCEEDED.model_copy(update={"artifact": digest}).to_termination_message()
    scene.add_pod(made, phase="Succeeded", **_terminated(claimed, 0, "Completed"))
    assert scene.seen().artifact is None


def test_a_job_that_succeeded_and_whose_pod_is_gone_has_no_artifact() -> None:
    scene = Scene()
    scene.add_job(ended="Complete")
    seen = scene.seen()
    assert (seen.phase, seen.artifact) == (ConversionPhase.SUCCEEDED, None)


def test_what_failed_for_good_is_tried_again_under_other_limits() -> None:
    scene = Scene()
    made = scene.add_job(ended="Failed")
    scene.add_pod(made, phase="Failed", **_terminated(exit_code=137, reason="OOMKilled", stage="convert"))
    failure = scene.seen().failure
    assert failure is not None
    assert not failure.retryable
    scene.change(conversions=ConversionSettings(image="forebay/convert:1", limits={"memory": "8Gi"}))
    failure = scene.seen().failure
    assert failure is not None
    assert failure.retryable


def test_a_job_whose_pod_is_refused_says_what_its_events_say() -> None:
    scene = Scene()
    made = scene.add_job()
    event = an_object(
        JOB_EVENTS,
        "e",
        involvedObject={"kind": "Job", "uid": made["metadata"]["uid"]},
        reason="FailedCreate",
        message="Error creating: pods is forbidden: exceeded quota: tight",
    )
    scene.store.put(JOB_EVENTS, event)
    assert "raise the ResourceQuota" in scene.seen().progress


def test_a_pod_that_waits_for_a_secret_says_so() -> None:
    scene = Scene()
    made = scene.add_job()
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "my-s3" not found'}
    scene.add_pod(made, phase="Pending", **_state("fetch", {"waiting": waiting}))
    assert 'secret "my-s3" not found' in scene.seen().progress


def test_only_the_newest_attempt_counts() -> None:
    scene = Scene()
    scene.add_job(attempt=1, ended="Failed")
    scene.add_job(attempt=2)
    assert (scene.seen().attempt, scene.seen().phase) == (2, ConversionPhase.RUNNING)


def test_an_attempt_that_was_ordered_counts_before_its_job_is_there() -> None:
    scene = Scene()
    scene.add_job(attempt=1, ended="Failed")
    scene.conversions.start(a_start(attempt=2))
    scene.conversions.start(a_start(attempt=1))
    assert (scene.seen().attempt, scene.seen().phase) == (2, ConversionPhase.RUNNING)
