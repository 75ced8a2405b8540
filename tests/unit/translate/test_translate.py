import dataclasses
import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_cases import ACCEPTED, Accepted, an_object
from api_examples import unhurried
from forebay_operator.api.schema import structural_schema
from forebay_operator.api.status import MAX_SENTENCE, ModelDeploymentStatus
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.domain.deployment import (
    Autoscaling,
    DeploymentSpec,
    Placement,
    Serving,
    Source,
    TensorShape,
    Verification,
)
from forebay_operator.domain.routes import Endpoint, WeightedVersion
from forebay_operator.domain.status import (
    Artifact,
    Condition,
    ConditionStatus,
    ConditionType,
    DeploymentStatus,
    Footprint,
    FootprintSource,
    RevisionRecord,
    ScalingDecision,
    ScalingStatus,
    VerificationReport,
)
from forebay_operator.translate import deployment_of, spec_of, status_of, status_to_api
from forebay_schema.addresses import ModelAddress
from forebay_schema.digests import canonical_json


def the_spec(changes: dict[str, Any] | None = None) -> DeploymentSpec:
    return spec_of(ModelDeployment.from_object(an_object(changes)).spec)


def test_the_smallest_object_gets_every_default() -> None:
    assert the_spec() == DeploymentSpec(source=Source(uri="s3://models/digits.joblib", format="sklearn"), replicas=1)


def test_every_field_arrives() -> None:
    spec = the_spec(
        {
            "stopped": True,
            "model.source": {"uri": "s3://m/a", "sha256": "0" * 64, "secretRef": {"name": "my-s3"}},
            "model.format": "sklearn",
            "model.inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 4]}],
            "verification": {
                "samples": {"uri": "s3://m/a.npz"},
                "maxRelativeError": 0.01,
                "minAgreement": 0.9,
                "minAccuracy": 0.8,
            },
            "serving": {
                "maxBatchSize": 64,
                "preferredBatchSizes": [64, 16],
                "maxQueueDelay": "100us",
                "maxQueueSize": 200,
                "queueTimeout": "1m30s",
                "instances": 2,
                "provider": "cuda",
            },
            "placement": {
                "device": "gpu",
                "gpuClass": "NVIDIA-L4",
                "memory": "4Gi",
                "exclusive": True,
                "podTemplate": {"nodeSelector": {"zone": "b"}, "env": [{"name": "A"}]},
            },
            "autoscaling": {"minReplicas": 0, "maxReplicas": 8, "scaleDownDelay": "2m", "idleTimeout": "1h"},
        }
    )

    assert spec == DeploymentSpec(
        stopped=True,
        source=Source(
            uri="s3://m/a",
            sha256="0" * 64,
            format="sklearn",
            inputs=(TensorShape("x", "FP32", (-1, 4)),),
            secret="my-s3",
        ),
        verification=Verification(samples_uri="s3://m/a.npz", max_relative_error=0.01, min_agreement=0.9, min_accuracy=0.8),
        serving=Serving(
            max_batch_size=64,
            preferred_batch_sizes=(16, 64),
            max_queue_delay_us=100,
            max_queue_size=200,
            queue_timeout_us=90_000_000,
            instances=2,
            provider="cuda",
        ),
        placement=Placement(
            device="gpu",
            gpu_class="NVIDIA-L4",
            memory_bytes=4 << 30,
            exclusive=True,
            pod_template='{"env":[{"name":"A","value":""}],"nodeSelector":{"zone":"b"}}',
        ),
        autoscaling=Autoscaling(
            min_replicas=0, max_replicas=8, target_queue_depth=4.0, scale_down_delay_s=120, idle_timeout_s=3600
        ),
    )


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_whatever_is_accepted_can_be_acted_on(case: Accepted) -> None:
    deployment = deployment_of(ModelDeployment.from_object(case.object))

    assert deployment.address == ModelAddress("default", case.object["metadata"]["name"])
    assert deployment.spec.min_replicas <= deployment.spec.max_replicas


def test_naming_the_format_that_the_ending_says_changes_nothing() -> None:
    assert the_spec({"model.format": "sklearn"}) == the_spec()


def test_an_idle_timeout_that_is_not_given_is_five_minutes() -> None:
    scaling = the_spec({"autoscaling": {"minReplicas": 0, "maxReplicas": 1}}).autoscaling

    assert scaling is not None
    assert scaling.idle_timeout_s == 300


def test_what_runs_on_the_cpu_takes_no_gpu() -> None:
    assert the_spec({"serving.provider": "cpu"}).placement.device == "cpu"


def test_identity_and_deletion_are_those_of_the_object() -> None:
    content = an_object()
    content["metadata"] |= {"namespace": "team", "uid": "u1", "generation": 4, "deletionTimestamp": "2026-01-31T12:00:00Z"}

    deployment = deployment_of(ModelDeployment.from_object(content))

    assert (deployment.address, deployment.uid, deployment.generation) == (ModelAddress("team", "digits"), "u1", 4)
    assert deployment.deleting
    assert deployment.status is None


def test_another_value_of_the_refresh_annotation_is_another_source() -> None:
    editions: list[str] = []
    for refresh in (None, "1", "2"):
        content = an_object()
        if refresh:
            content["metadata"]["annotations"] = {"forebay.dev/refresh": refresh}
        editions.append(deployment_of(ModelDeployment.from_object(content)).spec.source.edition)

    assert editions == ["", "1", "2"]


# Statuses

counts = st.integers(0, 1_000_000)
sizes = st.integers(0, 2**53)
shares = st.floats(0, 1)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
moments = st.floats(0, 4e9)
sentences = st.text(max_size=40)

servings = st.builds(
    Serving,
    max_batch_size=counts,
    preferred_batch_sizes=st.lists(counts, max_size=4).map(tuple),
    max_queue_delay_us=sizes,
    max_queue_size=counts,
    queue_timeout_us=sizes,
    instances=counts,
    provider=st.sampled_from(["auto", "cpu", "cuda"]),
)
reports = st.builds(
    VerificationReport,
    samples=counts,
    samples_drawn=st.booleans(),
    max_relative_error=st.floats(0, 1e6),
    agreement=shares,
    accuracy=st.none() | shares,
)
artifacts = st.builds(
    Artifact,
    digest=digests,
    size_bytes=sizes,
    source_sha256=digests,
    converted_with=sentences,
    verification=reports,
    memory_bytes=sizes,
    batching=st.booleans(),
)
footprints = st.builds(Footprint, sizes, st.sampled_from(FootprintSource))
records = st.builds(
    RevisionRecord,
    number=counts,
    id=digests,
    serving=servings.map(lambda serving: canonical_json(asdict(serving)).decode()),
    artifact=st.none() | artifacts,
    footprint=st.none() | footprints,
)
conditions = st.builds(
    Condition,
    type=st.sampled_from(ConditionType),
    status=st.sampled_from(ConditionStatus),
    reason=st.text("ABCabc", min_size=1, max_size=9),
    message=sentences,
    observed_generation=sizes,
    last_transition=moments,
)
endpoints = st.builds(Endpoint, host=st.text("abc.0123", min_size=1), http=st.integers(0, 65535), grpc=st.integers(0, 65535))
traffic = st.builds(WeightedVersion, counts, st.integers(0, 100), st.lists(endpoints, max_size=3).map(tuple))
decisions = st.builds(ScalingDecision, time=moments, from_replicas=counts, to_replicas=counts, reason=sentences)
scalings = st.builds(
    ScalingStatus, wanted=counts, queue_depth=st.floats(0, 1e6), decisions=st.lists(decisions, max_size=5).map(tuple)
)
statuses = st.builds(
    DeploymentStatus,
    observed_generation=sizes,
    revision=counts,
    replicas=counts,
    ready_replicas=counts,
    selector=sentences,
    summary=sentences,
    conditions=st.lists(conditions, max_size=4, unique_by=lambda condition: condition.type).map(tuple),
    traffic=st.lists(traffic, max_size=2, unique_by=lambda share: share.version).map(tuple),
    revisions=st.lists(records, max_size=3, unique_by=lambda record: record.number).map(tuple),
    artifact=st.none() | artifacts,
    footprint=st.none() | footprints,
    provider=st.sampled_from(["", "cpu", "cuda"]),
    scaling=st.none() | scalings,
)


def to_the_second(status: DeploymentStatus) -> DeploymentStatus:
    conditions = tuple(replace(condition, last_transition=int(condition.last_transition)) for condition in status.conditions)
    scaling = status.scaling
    if scaling is not None:
        decisions = tuple(replace(decision, time=int(decision.time)) for decision in scaling.decisions)
        scaling = replace(scaling, decisions=decisions)
    return replace(status, conditions=conditions, scaling=scaling)


def written(status: DeploymentStatus) -> dict[str, Any]:
    """The status as an API server, or a file, gives it back."""
    kept: dict[str, Any] = json.loads(json.dumps(status_to_api(status).to_object()))
    return kept


def read(kept: dict[str, Any]) -> DeploymentStatus:
    return status_of(ModelDeploymentStatus.from_object(kept))


@unhurried
@given(statuses)
def test_a_restarted_controller_reads_back_what_was_written(status: DeploymentStatus) -> None:
    assert read(written(status)) == to_the_second(status)


@unhurried
@given(statuses)
def test_writing_what_was_read_changes_nothing(status: DeploymentStatus) -> None:
    assert written(read(written(status))) == written(status)


@unhurried
@given(statuses)
def test_nothing_empty_is_written(status: DeploymentStatus) -> None:
    """API servers drop it, and the controller would take that for a change made by hand."""

    def empties(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            return [found for key, item in value.items() for found in empties(item, f"{path}.{key}")] or (
                [] if value else [path]
            )
        if isinstance(value, list):
            return [found for item in value for found in empties(item, f"{path}[]")] or ([] if value else [path])
        return [path] if value is None else []

    assert empties(written(status), "") == []


def test_every_field_of_the_status_has_a_place_in_the_domain() -> None:
    fields = {field.name for field in dataclasses.fields(DeploymentStatus)}

    assert fields == set(ModelDeploymentStatus.model_fields)
    assert set(structural_schema(ModelDeploymentStatus)["properties"]) == {
        field.alias for field in ModelDeploymentStatus.model_fields.values()
    }


EMPTY = DeploymentStatus(observed_generation=1, revision=0, replicas=0, ready_replicas=0, selector="", summary="")


def test_times_are_written_as_kubernetes_writes_them() -> None:
    condition = Condition(
        type=ConditionType.READY,
        status=ConditionStatus.FALSE,
        reason="Converting",
        message="",
        observed_generation=1,
        last_transition=1769860800.9,
    )

    [kept] = written(replace(EMPTY, conditions=(condition,)))["conditions"]

    assert kept == {
        "type": "Ready",
        "status": "False",
        "reason": "Converting",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }


def test_a_sentence_that_is_too_long_is_cut_rather_than_refused() -> None:
    summary = read(written(replace(EMPTY, summary="x" * 5000))).summary

    assert len(summary) == MAX_SENTENCE
    assert summary.endswith("x…")


def test_conditions_of_others_are_left_to_them() -> None:
    foreign = {
        "type": "example.com/Audited",
        "status": "True",
        "reason": "Yes",
        "message": "",
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }

    assert read({"conditions": [foreign]}).conditions == ()


def test_a_status_of_which_only_a_part_is_there_is_read() -> None:
    assert read({}) == replace(EMPTY, observed_generation=0)
