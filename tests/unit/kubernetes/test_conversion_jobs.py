"""What Jobs, their pods and their Events mean: causes and remedies as statuses show them."""

from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration

from forebay_operator.domain.snapshot import Conversion, ConversionId, ConversionPhase
from forebay_operator.manifests.conversion import job
from forebay_operator.manifests.kinds import JOB_EVENTS, JOBS, PODS
from forebay_operator.manifests.owners import Owner
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.conversions import Conversions
from forebay_operator.worlds.kubernetes.store import Store
from forebay_operator.worlds.kubernetes.writer import Writer
from forebay_schema.conversion import ConversionFailure as FailureDocument
from forebay_schema.conversion import ConversionResult
from forebay_schema.manifest import Verification
from kubernetes_builders import Json, a_start, an_installation, an_object

KEY = ConversionId("default", "c" * 64)
SUCCEEDED = ConversionResult(
    artifact="a" * 64,
    source_sha256="b" * 64,
    verification=Verification(samples=64, samples_from="drawn", max_relative_error=0.0, agreement=1.0),
)
REFUSED = ConversionResult(failure=FailureDocument(stage="load", cause="It is no model.", remedy="Give a model."))


def _no_owners(_: ConversionId) -> list[Owner]:
    return []


_api = ApiServer(Configuration())
"""Never called here: making one takes a while, as it reads certificates."""


class Scene:
    """Jobs as the API server has them."""

    def __init__(self) -> None:
        self.store = Store(lambda _: None)
        writer = Writer(_api, self.store, lambda *_: None, lambda: None)
        self.conversions = Conversions(self.store, writer, an_installation(), _no_owners, lambda: 1000.0)

    def add_job(self, attempt: int = 1, ended: str = "", reason: str = "") -> Json:
        manifest = job(a_start(attempt=attempt), "{}", [], an_installation())
        condition = {"type": ended, "status": "True", "reason": reason, "lastTransitionTime": "2026-01-01T00:01:00Z"}
        made = an_object(JOBS, manifest["metadata"]["name"], metadata=manifest["metadata"], spec=manifest["spec"])
        made["status"] = {"conditions": [condition]} if ended else {}
        self.store.put(JOBS, made)
        return made

    def add_pod(self, of: Json, **status: Any) -> None:
        owner = {"kind": "Job", "uid": of["metadata"]["uid"]}
        self.store.put(
            PODS, an_object(PODS, f"{of['metadata']['name']}-x", metadata={"ownerReferences": [owner]}, status=status)
        )

    def seen(self) -> Conversion:
        (conversion,) = self.conversions.seen()
        return conversion


def _terminated(message: str = "", exit_code: int = 1, reason: str = "Error") -> Json:
    ended = {"exitCode": exit_code, "reason": reason, "message": message}
    return {"containerStatuses": [{"name": "convert", "state": {"terminated": ended}}]}


def test_a_job_that_runs_is_a_conversion_that_runs() -> None:
    scene = Scene()
    made = scene.add_job(attempt=2)
    scene.add_pod(made, phase="Running", containerStatuses=[{"name": "convert", "state": {"running": {}}}])
    seen = scene.seen()
    assert (seen.id, seen.phase, seen.attempt) == (KEY, ConversionPhase.RUNNING, 2)
    assert "runs" in seen.progress


def test_the_result_is_the_termination_message() -> None:
    scene = Scene()
    made = scene.add_job(ended="Complete")
    scene.add_pod(made, phase="Succeeded", **_terminated(SUCCEEDED.to_termination_message(), 0, "Completed"))
    seen = scene.seen()
    assert seen.phase is ConversionPhase.SUCCEEDED
    assert seen.artifact is not None
    assert seen.artifact.digest == "a" * 64
    assert seen.finished_at is not None
    assert seen.finished_at - seen.started_at == 60


def test_what_the_conversion_says_of_its_failure_is_believed_before_what_the_job_says() -> None:
    scene = Scene()
    made = scene.add_job(ended="Failed", reason="BackoffLimitExceeded")
    scene.add_pod(made, phase="Failed", **_terminated(REFUSED.to_termination_message()))
    failure = scene.seen().failure
    assert failure is not None
    assert (failure.stage, failure.cause, failure.retryable) == ("load", "It is no model.", False)


@pytest.mark.parametrize(
    ("reason", "status", "cause", "retryable"),
    [
        ("DeadlineExceeded", {}, "did not end in time", False),
        ("BackoffLimitExceeded", _terminated(exit_code=137, reason="OOMKilled"), "more memory than its limit", False),
        ("BackoffLimitExceeded", {"phase": "Failed", "reason": "Evicted", "message": "disk pressure"}, "disk pressure", True),
        ("BackoffLimitExceeded", _terminated(exit_code=3), "exit status 3", True),
        ("BackoffLimitExceeded", _terminated("no JSON", exit_code=1), "left no result", True),
    ],
)
def test_a_conversion_that_left_no_result_failed_for_a_reason(
    reason: str, status: Json, cause: str, *, retryable: bool
) -> None:
    scene = Scene()
    made = scene.add_job(ended="Failed", reason=reason)
    scene.add_pod(made, **{"phase": "Failed", **status})
    failure = scene.seen().failure
    assert failure is not None
    assert cause in failure.cause
    assert failure.retryable == retryable
    assert failure.remedy


def test_a_job_that_succeeded_and_whose_pod_is_gone_has_no_artifact() -> None:
    scene = Scene()
    scene.add_job(ended="Complete")
    seen = scene.seen()
    assert (seen.phase, seen.artifact) == (ConversionPhase.SUCCEEDED, None)


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
    scene.add_pod(made, phase="Pending", containerStatuses=[{"name": "convert", "state": {"waiting": waiting}}])
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
