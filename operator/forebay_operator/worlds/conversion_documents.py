"""The step's orders to convert as the converter's documents, and its answers as the step's values."""

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.snapshot import ConversionFailure
from forebay_operator.domain.status import Artifact, VerificationReport
from forebay_schema import conversion as documents
from forebay_schema.manifest import Verification


def order_of(action: StartConversion, store: str, *, trust_source: bool) -> documents.ConversionOrder:
    """What the converter is told."""
    source, demand = action.source, action.verification
    inputs = [{"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape} for tensor in source.inputs]
    options = documents.ConversionOptions(
        source=documents.ConversionSource.model_validate(
            {"uri": source.uri, "sha256": source.sha256, "format": source.format, "inputs": inputs}
        ),
        verification=documents.VerificationDemand(
            samples_uri=demand.samples_uri,
            max_relative_error=demand.max_relative_error,
            min_agreement=demand.min_agreement,
            min_accuracy=demand.min_accuracy,
        ),
        max_batch_size=action.max_batch_size,
    )
    return documents.ConversionOrder(namespace=action.id.namespace, store=store, options=options, trust_source=trust_source)


def outcome_of(result: documents.ConversionResult) -> Artifact | ConversionFailure:
    """What became of a conversion."""
    if result.failure is not None:
        return failure_of(result.failure)
    if result.artifact is None or result.verification is None:
        return ConversionFailure(
            stage="publish",
            cause="The conversion ended without an artifact and without saying why.",
            remedy="Look into its log.",
            retryable=True,
        )
    return Artifact(
        digest=result.artifact,
        size_bytes=result.size_bytes,
        source_sha256=result.source_sha256 or "",
        converted_with=result.converted_with,
        verification=_report(result.verification),
        memory_bytes=result.memory_bytes,
        batching=result.batching,
    )


def failure_of(failure: documents.ConversionFailure) -> ConversionFailure:
    return ConversionFailure(stage=failure.stage, cause=failure.cause, remedy=failure.remedy, retryable=failure.retryable)


def _report(verification: Verification) -> VerificationReport:
    return VerificationReport(
        samples=verification.samples,
        samples_drawn=verification.samples_from == "drawn",
        max_relative_error=verification.max_relative_error,
        agreement=verification.agreement,
        accuracy=verification.accuracy,
    )
