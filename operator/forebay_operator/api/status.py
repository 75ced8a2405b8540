"""`status` of a ModelDeployment: what is. Written by the controller only, and all that it needs to go on after a restart.

Nothing here has a default: what API servers add to a status that was applied would look like a change made by hand.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from forebay_operator.api.fields import Keyed, Timestamp
from forebay_operator.api.objects import ApiModel
from forebay_schema.conversion import MAX_RESULT_BYTES

MAX_SENTENCE: Final = 1024
MAX_DECISIONS: Final = 5
EXACT_INTEGERS: Final = 2**53
"""Up to here every reader of JSON keeps integers exactly."""

_Count = Annotated[int, Field(ge=0, le=1_000_000)]
_Bytes = Annotated[int, Field(ge=0, le=EXACT_INTEGERS)]
_Number = Annotated[int, Field(ge=0, le=EXACT_INTEGERS)]
_Port = Annotated[int, Field(ge=0, le=65535)]
_Sentence = Annotated[str, Field(max_length=MAX_SENTENCE)]
_Digest = Annotated[str, Field(max_length=64)]
_Share = Annotated[float, Field(ge=0, le=1)]
_CONDITION_TYPE: Final = (
    "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
_CONDITION_REASON: Final = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


class Condition(ApiModel):
    """One thing that is so or is not: a condition as Kubernetes has them (metav1.Condition), with its limits."""

    type: Annotated[str, Field(min_length=1, max_length=316, pattern=_CONDITION_TYPE)]
    """Converted, Placed, Ready or Autoscaling; those of others have a prefix, as example.com/Audited."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=_CONDITION_REASON)]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, in one sentence for people; may be empty."""
    observed_generation: _Number | None = None
    """The generation of the object that this was said of."""
    last_transition_time: Timestamp
    """When the status last changed."""


class Endpoint(ApiModel):
    """A server as gateways reach it."""

    host: Annotated[str, Field(min_length=1, max_length=253)]
    """Its address."""
    http: _Port
    """Its port for HTTP."""
    grpc: _Port
    """Its port for gRPC."""


class TrafficShare(ApiModel):
    """The share of requests that one revision answers."""

    revision: _Number
    """Number of the revision."""
    weight: Annotated[int, Field(ge=0, le=100)]
    """Percent of the requests; all weights together are 100."""
    endpoints: Annotated[tuple[Endpoint, ...], Field(max_length=1000)] | None = None
    """The servers that hold the revision and are ready."""


class VerificationReport(ApiModel):
    """How close the converted model came to its source."""

    samples: _Number
    """On how many samples the two were compared."""
    samples_from: Literal["given", "drawn"]
    """Whether the samples were given, or drawn within the model's input ranges."""
    max_relative_error: Annotated[float, Field(ge=0)]
    """The largest relative difference of an output from that of the source."""
    agreement: _Share
    """The share of samples on which both name the same class."""
    accuracy: _Share | None = None
    """The share of samples for which it names the right label, where labels were given."""


class Artifact(ApiModel):
    """What a source was converted to."""

    digest: _Digest
    """Its address in the store."""
    size_bytes: _Bytes
    """Size of its files."""
    source_sha256: Annotated[_Digest, Field(alias="sourceSha256")]
    """Digest of the source that it was made of."""
    converted_with: Annotated[str, Field(max_length=MAX_RESULT_BYTES)] | None = None
    """Names and versions of what converted it."""
    verification: VerificationReport
    """How close it came to its source."""
    memory_bytes: _Bytes
    """Device memory of one replica at the largest batch, as the conversion estimates it."""
    batching: bool
    """Whether its inputs have a batch dimension that varies."""


class Footprint(ApiModel):
    """Device memory that a replica needs."""

    bytes: _Bytes
    """How much."""
    source: Literal["measured", "estimated", "declared"]
    """Where the figure is from: a server measured it, the conversion estimated it, or the spec declared it."""


class RevisionServing(ApiModel):
    """How a revision is served. Zero means no batching, no delay, no limit; for instances, that the server chooses."""

    max_batch_size: _Count
    """The largest batch."""
    preferred_batch_sizes: Annotated[tuple[_Count, ...], Field(max_length=16)] | None = None
    """Batch sizes to wait for."""
    max_queue_delay_us: _Number
    """How long a request may wait for a batch, in microseconds."""
    max_queue_size: _Count
    """How many requests may wait in one server."""
    queue_timeout_us: _Number
    """How long a request may wait in a server, in microseconds."""
    instances: _Count
    """Executions at once in one replica."""
    provider: Annotated[str, Field(min_length=1, max_length=32)]
    """What executes the model."""


class Revision(ApiModel):
    """A revision that still matters, with all that is needed to go on serving it."""

    number: _Number
    """Its number, which is its Triton version; never used again."""
    id: Annotated[str, Field(max_length=64)]
    """Digest of what makes it: source, optimisation, serving settings."""
    serving: RevisionServing
    """How it is served."""
    artifact: Artifact | None = None
    """What it serves; absent until it is converted."""
    footprint: Footprint | None = None
    """Device memory that one replica of it needs."""


class ScalingDecision(ApiModel):
    """One change of the number of replicas wanted."""

    time: Timestamp
    """When."""
    from_: Annotated[_Count, Field(alias="from")]
    """Replicas wanted before."""
    to: _Count
    """Replicas wanted after."""
    reason: _Sentence
    """What was seen, what was wanted, which limit bound."""


class Scaling(ApiModel):
    """What the autoscaler sees and decides."""

    wanted: _Count
    """Replicas wanted now."""
    queue_depth: Annotated[float, Field(ge=0)]
    """Requests waiting for each ready replica, those held at gateways included."""
    decisions: Annotated[tuple[ScalingDecision, ...], Field(max_length=MAX_DECISIONS)] | None = None
    """The last five changes, the newest last."""


class ModelDeploymentStatus(ApiModel):
    """What is: written by the controller, never by people."""

    observed_generation: _Number | None = None
    """The generation of the object that this status was made for."""
    revision: _Number | None = None
    """Number of the revision that serves, or of the one in preparation while none does."""
    replicas: _Count | None = None
    """Replicas that are placed."""
    ready_replicas: _Count | None = None
    """Replicas that answer."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """Label selector of the servers' pods, for the scale subresource. Only where the model is exclusive: no label finds
    servers that models share."""
    summary: _Sentence | None = None
    """The state in one sentence, with what to do where something is to be done."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), Keyed("type")] | None = None
    """Converted, Placed, Ready and Autoscaling, each with its reason."""
    traffic: Annotated[tuple[TrafficShare, ...], Field(max_length=16), Keyed("revision")] | None = None
    """Which revisions answer, and where; gateways route by it."""
    revisions: Annotated[tuple[Revision, ...], Field(max_length=32), Keyed("number")] | None = None
    """The revisions that still matter."""
    artifact: Artifact | None = None
    """What the source was converted to."""
    footprint: Footprint | None = None
    """Device memory that one replica needs."""
    provider: Annotated[str, Field(max_length=512)] | None = None
    """The execution provider that the servers really use."""
    scaling: Scaling | None = None
    """What the autoscaler sees and decides."""
