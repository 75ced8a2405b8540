"""Between the custom resource and the domain's values. The only module that knows both."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import lru_cache

from forebay_operator.api import spec as api
from forebay_operator.api import status as api_status
from forebay_operator.api.fields import bytes_of, microseconds, seconds
from forebay_operator.api.v1alpha1 import REFRESH, ModelDeployment
from forebay_operator.domain import deployment as domain
from forebay_operator.domain import status as domain_status
from forebay_operator.domain.revisions import serving_of
from forebay_operator.domain.routes import Endpoint, WeightedVersion
from forebay_schema.digests import canonical_json

_DEFAULT_IDLE_TIMEOUT_S = 300.0
_DEFAULT_REPLICAS = 1


def deployment_of(resource: ModelDeployment) -> domain.Deployment:
    """What was asked for, and what was last said of it. Another value of the annotation `REFRESH` is another source."""
    metadata = resource.metadata
    spec = spec_of(resource.spec)
    refresh = (metadata.annotations or {}).get(REFRESH, "")
    return domain.Deployment(
        address=resource.address,
        uid=metadata.uid or "",
        generation=metadata.generation or 0,
        spec=replace(spec, source=replace(spec.source, edition=refresh)) if refresh else spec,
        status=None if resource.status is None else status_of(resource.status),
        deleting=metadata.deletion_timestamp is not None,
    )


def spec_of(spec: api.ModelDeploymentSpec) -> domain.DeploymentSpec:
    """What was asked for, with every default in its place."""
    return domain.DeploymentSpec(
        source=_source(spec.model),
        stopped=spec.stopped,
        verification=_verification(spec.verification),
        serving=_serving(spec.serving),
        placement=_placement(spec),
        replicas=_DEFAULT_REPLICAS if spec.replicas is None else spec.replicas,
        autoscaling=None if spec.autoscaling is None else _autoscaling(spec.autoscaling),
    )


def _source(model: api.Model) -> domain.Source:
    source = model.source
    return domain.Source(
        uri=source.uri,
        sha256=source.sha256,
        # The same whether it was written or left to the ending: writing it makes no new revision.
        format=model.format or api.format_of(source.uri),
        inputs=tuple(domain.TensorShape(each.name, each.dtype, each.shape) for each in model.inputs or ()),
        secret=source.secret_ref.name if source.secret_ref else None,
    )


def _verification(verification: api.Verification) -> domain.Verification:
    return domain.Verification(
        samples_uri=verification.samples.uri if verification.samples else None,
        max_relative_error=verification.max_relative_error,
        min_agreement=verification.min_agreement,
        min_accuracy=verification.min_accuracy,
    )


def _serving(serving: api.Serving) -> domain.Serving:
    return domain.Serving(
        max_batch_size=serving.max_batch_size,
        preferred_batch_sizes=tuple(sorted(serving.preferred_batch_sizes or ())),
        max_queue_delay_us=microseconds(serving.max_queue_delay or "0s"),
        max_queue_size=serving.max_queue_size or 0,
        queue_timeout_us=microseconds(serving.queue_timeout or "0s"),
        instances=serving.instances if isinstance(serving.instances, int) else 0,
        provider=serving.provider,
    )


def _placement(spec: api.ModelDeploymentSpec) -> domain.Placement:
    placement = spec.placement
    template = placement.pod_template
    return domain.Placement(
        # What runs on the CPU must not take the memory of a GPU.
        device="cpu" if spec.serving.provider == "cpu" else placement.device,
        gpu_class=None if placement.gpu_class == "any" else placement.gpu_class,
        memory_bytes=None if placement.memory == "auto" else bytes_of(placement.memory),
        exclusive=placement.exclusive,
        pod_template=canonical_json(template.to_object()).decode() if template else None,
    )


def _autoscaling(scaling: api.Autoscaling) -> domain.Autoscaling:
    return domain.Autoscaling(
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        target_queue_depth=float(scaling.target_queue_depth),
        scale_down_delay_s=seconds(scaling.scale_down_delay),
        idle_timeout_s=_DEFAULT_IDLE_TIMEOUT_S if scaling.idle_timeout is None else seconds(scaling.idle_timeout),
    )


# Statuses: what is written is read back the same, to the second.


def status_to_api(status: domain_status.DeploymentStatus) -> api_status.ModelDeploymentStatus:
    """A status as it is written: nothing empty, and no text longer than the resource takes."""
    return api_status.ModelDeploymentStatus(
        observed_generation=status.observed_generation,
        revision=status.revision or None,
        replicas=status.replicas,
        ready_replicas=status.ready_replicas,
        selector=status.selector or None,
        summary=_sentence(status.summary) or None,
        conditions=tuple(_condition_to_api(condition) for condition in status.conditions) or None,
        traffic=tuple(_share_to_api(share) for share in status.traffic) or None,
        revisions=tuple(_revision_to_api(record) for record in status.revisions) or None,
        artifact=_artifact_to_api(status.artifact) if status.artifact else None,
        footprint=_footprint_to_api(status.footprint) if status.footprint else None,
        provider=status.provider or None,
        scaling=_scaling_to_api(status.scaling) if status.scaling else None,
    )


def status_of(status: api_status.ModelDeploymentStatus) -> domain_status.DeploymentStatus:
    """A status as the step left it. Conditions of others are theirs: they are not read."""
    ours = {kind.value for kind in domain_status.ConditionType}
    return domain_status.DeploymentStatus(
        observed_generation=status.observed_generation or 0,
        revision=status.revision or 0,
        replicas=status.replicas or 0,
        ready_replicas=status.ready_replicas or 0,
        selector=status.selector or "",
        summary=status.summary or "",
        conditions=tuple(_condition_of(condition) for condition in status.conditions or () if condition.type in ours),
        traffic=tuple(_share_of(share) for share in status.traffic or ()),
        revisions=tuple(_revision_of(revision) for revision in status.revisions or ()),
        artifact=_artifact_of(status.artifact) if status.artifact else None,
        footprint=_footprint_of(status.footprint) if status.footprint else None,
        provider=status.provider or "",
        scaling=_scaling_of(status.scaling) if status.scaling else None,
    )


def _condition_to_api(condition: domain_status.Condition) -> api_status.Condition:
    return api_status.Condition(
        type=condition.type.value,
        status=condition.status.value,
        reason=condition.reason,
        message=_sentence(condition.message),
        observed_generation=condition.observed_generation,
        last_transition_time=_moment(condition.last_transition),
    )


def _condition_of(condition: api_status.Condition) -> domain_status.Condition:
    return domain_status.Condition(
        type=domain_status.ConditionType(condition.type),
        status=domain_status.ConditionStatus(condition.status),
        reason=condition.reason,
        message=condition.message,
        observed_generation=condition.observed_generation or 0,
        last_transition=condition.last_transition_time.timestamp(),
    )


def _share_to_api(share: WeightedVersion) -> api_status.TrafficShare:
    endpoints = tuple(api_status.Endpoint(host=each.host, http=each.http, grpc=each.grpc) for each in share.endpoints)
    return api_status.TrafficShare(revision=share.version, weight=share.weight, endpoints=endpoints or None)


def _share_of(share: api_status.TrafficShare) -> WeightedVersion:
    endpoints = tuple(Endpoint(each.host, each.http, each.grpc) for each in share.endpoints or ())
    return WeightedVersion(share.revision, share.weight, endpoints)


def _revision_to_api(record: domain_status.RevisionRecord) -> api_status.Revision:
    return api_status.Revision(
        number=record.number,
        id=record.id,
        serving=_revision_serving(serving_of(record)),
        artifact=_artifact_to_api(record.artifact) if record.artifact else None,
        footprint=_footprint_to_api(record.footprint) if record.footprint else None,
    )


def _revision_serving(serving: domain.Serving) -> api_status.RevisionServing:
    return api_status.RevisionServing(
        max_batch_size=serving.max_batch_size,
        preferred_batch_sizes=serving.preferred_batch_sizes or None,
        max_queue_delay_us=serving.max_queue_delay_us,
        max_queue_size=serving.max_queue_size,
        queue_timeout_us=serving.queue_timeout_us,
        instances=serving.instances,
        provider=serving.provider,
    )


def _revision_of(revision: api_status.Revision) -> domain_status.RevisionRecord:
    return domain_status.RevisionRecord(
        number=revision.number,
        id=revision.id,
        serving=_serving_text(_serving_of(revision.serving)),
        artifact=_artifact_of(revision.artifact) if revision.artifact else None,
        footprint=_footprint_of(revision.footprint) if revision.footprint else None,
    )


@lru_cache(maxsize=1024)
def _serving_text(serving: domain.Serving) -> str:
    """Made once for each way to serve: thousands of models are served in few."""
    return canonical_json(asdict(serving)).decode()


def _serving_of(serving: api_status.RevisionServing) -> domain.Serving:
    return domain.Serving(
        max_batch_size=serving.max_batch_size,
        preferred_batch_sizes=serving.preferred_batch_sizes or (),
        max_queue_delay_us=serving.max_queue_delay_us,
        max_queue_size=serving.max_queue_size,
        queue_timeout_us=serving.queue_timeout_us,
        instances=serving.instances,
        provider=serving.provider,
    )


def _artifact_to_api(artifact: domain_status.Artifact) -> api_status.Artifact:
    report = artifact.verification
    return api_status.Artifact(
        digest=artifact.digest,
        size_bytes=artifact.size_bytes,
        source_sha256=artifact.source_sha256,
        converted_with=artifact.converted_with or None,
        verification=api_status.VerificationReport(
            samples=report.samples,
            samples_from="drawn" if report.samples_drawn else "given",
            max_relative_error=report.max_relative_error,
            agreement=report.agreement,
            accuracy=report.accuracy,
        ),
        memory_bytes=artifact.memory_bytes,
        batching=artifact.batching,
    )


def _artifact_of(artifact: api_status.Artifact) -> domain_status.Artifact:
    report = artifact.verification
    return domain_status.Artifact(
        digest=artifact.digest,
        size_bytes=artifact.size_bytes,
        source_sha256=artifact.source_sha256,
        converted_with=artifact.converted_with or "",
        verification=domain_status.VerificationReport(
            samples=report.samples,
            samples_drawn=report.samples_from == "drawn",
            max_relative_error=report.max_relative_error,
            agreement=report.agreement,
            accuracy=report.accuracy,
        ),
        memory_bytes=artifact.memory_bytes,
        batching=artifact.batching,
    )


def _footprint_to_api(footprint: domain_status.Footprint) -> api_status.Footprint:
    return api_status.Footprint(bytes=footprint.bytes, source=footprint.source.value)


def _footprint_of(footprint: api_status.Footprint) -> domain_status.Footprint:
    return domain_status.Footprint(footprint.bytes, domain_status.FootprintSource(footprint.source))


def _scaling_to_api(scaling: domain_status.ScalingStatus) -> api_status.Scaling:
    decisions = tuple(
        api_status.ScalingDecision(
            time=_moment(decision.time),
            from_=decision.from_replicas,
            to=decision.to_replicas,
            reason=_sentence(decision.reason),
        )
        for decision in scaling.decisions[-api_status.MAX_DECISIONS :]
    )
    return api_status.Scaling(wanted=scaling.wanted, queue_depth=scaling.queue_depth, decisions=decisions or None)


def _scaling_of(scaling: api_status.Scaling) -> domain_status.ScalingStatus:
    decisions = tuple(
        domain_status.ScalingDecision(
            time=decision.time.timestamp(),
            from_replicas=decision.from_,
            to_replicas=decision.to,
            reason=decision.reason,
        )
        for decision in scaling.decisions or ()
    )
    return domain_status.ScalingStatus(wanted=scaling.wanted, queue_depth=scaling.queue_depth, decisions=decisions)


def _moment(seconds_since_epoch: float) -> datetime:
    """To the second, as Kubernetes keeps times."""
    return datetime.fromtimestamp(int(seconds_since_epoch), UTC)


def _sentence(text: str) -> str:
    """No longer than the resource takes: an API server refuses a whole status for one long text."""
    return text if len(text) <= api_status.MAX_SENTENCE else f"{text[: api_status.MAX_SENTENCE - 1]}…"
