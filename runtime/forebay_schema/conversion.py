"""Orders to a conversion, and the one document in which it answers.

The controller starts `forebay-convert --order FILE`; progress goes to standard error, the result to the file that
`--result` names (in a pod: the termination message, at most 4 KB) and, as one line, to standard output.
Exit status: 0 converted or found, 1 refused or failed (the result says why), 2 wrong usage.
"""

from typing import ClassVar, Literal, Self

from forebay_schema.documents import Document, Part
from forebay_schema.manifest import Verification
from forebay_schema.tensors import TensorSpec

Format = Literal["onnx", "sklearn"]
Stage = Literal["fetch", "load", "convert", "verify", "publish"]
MAX_RESULT_BYTES = 4096


class ConversionSource(Part):
    uri: str
    """file, http(s), s3 or data URI, or a path."""
    sha256: str | None = None
    format: Format | None = None
    """None: inferred from the file."""
    inputs: tuple[TensorSpec, ...] = ()
    """Only where the format does not say."""


class VerificationDemand(Part):
    samples_uri: str | None = None
    """An .npz: one array an input, by its name (or the only one), and optionally `labels`."""
    max_relative_error: float = 1e-3
    min_agreement: float = 0.99
    min_accuracy: float | None = None


class ConversionLimits(Part):
    source_bytes: int = 2 << 30
    memory_bytes: int = 2 << 30
    seconds: float = 600.0


class ConversionOptions(Part):
    """What of an order changes the artifact: part of the conversion's key. `digest_of(options.model_dump(mode='json'))`."""

    source: ConversionSource
    verification: VerificationDemand = VerificationDemand()
    max_batch_size: int = 32
    """Memory is estimated up to this batch size."""


class ConversionOrder(Document):
    document_name: ClassVar[str] = "conversion-order"

    namespace: str
    store: str
    options: ConversionOptions
    limits: ConversionLimits = ConversionLimits()
    trust_source: bool = False
    """Convert even where this machine cannot isolate the conversion."""

    def without_addresses(self) -> Self:
        """For the stage that opens what was fetched: addresses may hold secrets, and it needs none."""
        source = self.options.source.model_copy(update={"uri": ""})
        demand = self.options.verification.model_copy(update={"samples_uri": None})
        options = self.options.model_copy(update={"source": source, "verification": demand})
        return self.model_copy(update={"store": "", "options": options})


class ConversionFailure(Part):
    stage: Stage
    cause: str
    """What happened, with the value seen; one sentence."""
    remedy: str
    """What to do; one sentence."""
    retryable: bool = False
    """Whether the same order may succeed later (network, store), or only a changed one."""


class ConversionResult(Document):
    """Exactly one of `artifact` and `failure` is set."""

    document_name: ClassVar[str] = "conversion-result"

    artifact: str | None = None
    size_bytes: int = 0
    source_sha256: str | None = None
    converted_with: str = ""
    """For a person: `skl2onnx 1.20.0, scikit-learn 1.9.1`."""
    verification: Verification | None = None
    memory_bytes: int = 0
    """The memory estimate at the order's `max_batch_size`."""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    batching: bool = True
    reused: bool = False
    """Found in the store, not converted again."""
    seconds: float = 0.0
    failure: ConversionFailure | None = None

    def to_termination_message(self) -> str:
        """The document in at most `MAX_RESULT_BYTES`: what is shed first is what the manifest says as well."""
        text = self.to_json()
        if len(text.encode()) > MAX_RESULT_BYTES:
            text = self._shortened().to_json()
        return text

    def _shortened(self) -> Self:
        failure = self.failure
        if failure is not None:
            failure = failure.model_copy(update={"cause": failure.cause[:600], "remedy": failure.remedy[:300]})
        return self.model_copy(
            update={"inputs": (), "outputs": (), "failure": failure, "converted_with": self.converted_with[:200]}
        )
