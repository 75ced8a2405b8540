"""`spec` of a ModelDeployment: what is wanted."""

import re
from typing import Annotated, Final, Literal

from pydantic import Field

from forebay_operator.api.fields import (
    MAX_DATA_URIS,
    CountOrAuto,
    Distinct,
    DurationText,
    Keyed,
    MemoryOrAuto,
    ObjectName,
    Sha256,
    Uri,
    duration_from,
    matching,
)
from forebay_operator.api.objects import ApiModel
from forebay_operator.api.pods import PodTemplate
from forebay_operator.api.rules import Rule, Transition
from forebay_schema.conversion import Format
from forebay_schema.tensors import DataType

MAX_REPLICAS: Final = 1000
MAX_BATCH: Final = 65536
_INT32: Final = 2**31 - 1

OWN_SECRETS: Final = ("forebay-store", "forebay-store-read", "forebay-repository-token")
"""What Forebay keeps in a model's namespace: with the store's credentials a source could be any model's artifact."""
_ENDINGS: Final[dict[Format, str]] = {"onnx": "[.]onnx", "sklearn": "[.](joblib|pkl|pickle|skops)"}
_TAIL: Final = "([?#].*)?$"
_PORTABLE_URI: Final = "^(s3|https?)://"


def format_of(uri: str) -> Format | None:
    """The format that the end of a URI names, or None where it names none."""
    if uri.startswith("data:"):
        return None
    return next((name for name, ending in _ENDINGS.items() if re.search(f"(?i){ending}{_TAIL}", uri)), None)


class SecretRef(ApiModel):
    """A Secret in the namespace of the ModelDeployment."""

    name: Annotated[
        ObjectName,
        Rule[str](
            f"!(self in [{', '.join(repr(name) for name in OWN_SECRETS)}])",
            f"{', '.join(OWN_SECRETS)} are Forebay's own: use a Secret that was made for the source",
            lambda name: name not in OWN_SECRETS,
        ),
    ]
    """Name of the Secret; not one of Forebay's own."""


class ModelSource(ApiModel):
    """Where the model's file is."""

    uri: Uri
    """Where the file is fetched from: s3://, https://, http:// or file:// and a path, an absolute path, or data:…;base64,…
    for a tiny model (at most 128 KiB)."""
    sha256: Sha256 | None = None
    """The digest that the file must have, 64 hexadecimal digits. Without it whatever is found at the URI is taken."""
    secret_ref: SecretRef | None = None
    """The Secret with the credentials to read the source: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for another endpoint
    than Amazon's, AWS_ENDPOINT_URL. Only the fetching process sees them."""

    rules = (
        Rule["ModelSource"](
            f"!has(self.secretRef) || self.uri.matches('{_PORTABLE_URI}')",
            "a secret is only used for s3://, https:// and http:// sources: remove secretRef",
            lambda source: source.secret_ref is None or re.match(_PORTABLE_URI, source.uri) is not None,
            "secretRef",
        ),
    )


class TensorInput(ApiModel):
    """One input of the model."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """Name of the input, as clients will send it."""
    dtype: DataType
    """Type of its elements, as the v2 protocol names them."""
    shape: Annotated[tuple[Annotated[int, Field(ge=-1, le=_INT32)], ...], Field(min_length=1, max_length=8)]
    """Its dimensions, the batch first; -1 is a dimension that varies."""

    rules = (
        Rule["TensorInput"](
            "self.shape.all(d, d != 0)",
            "a dimension is -1 (varies) or at least 1: replace the 0",
            lambda tensor: 0 not in tensor.shape,
            "shape",
        ),
    )


def _is_onnx(model: "Model") -> bool:
    return (model.format or format_of(model.source.uri)) == "onnx"


class Model(ApiModel):
    """Which model to serve."""

    source: ModelSource
    """Where the model's file is."""
    format: Format | None = None
    """What the file is. May be left out where the end of the URI says it: .onnx; .joblib, .pkl, .pickle and .skops
    mean sklearn."""
    inputs: Annotated[tuple[TensorInput, ...], Field(min_length=1, max_length=32), Keyed("name")] | None = None
    """Inputs of the model, only where the format does not say them: scikit-learn. Without them they are taken from the
    number of features the model was fitted with, as one FP32 input."""

    rules = (
        Rule["Model"](
            "has(self.format) || (!self.source.uri.startsWith('data:') && "
            f"self.source.uri.matches('(?i)({'|'.join(_ENDINGS.values())}){_TAIL}'))",
            "the URI does not say what the model is: set format to onnx or sklearn",
            lambda model: model.format is not None or format_of(model.source.uri) is not None,
        ),
        Rule["Model"](
            "!has(self.inputs) || (has(self.format) ? self.format != 'onnx' : "
            f"!self.source.uri.matches('(?i){_ENDINGS['onnx']}{_TAIL}'))",
            "an ONNX file says itself what its inputs are: remove inputs",
            lambda model: model.inputs is None or not _is_onnx(model),
            "inputs",
        ),
    )


class Samples(ApiModel):
    """Real inputs to verify with."""

    uri: Uri
    """An .npz file with one array for each input, by its name, and optionally `labels`. Read with the source's secret.
    Labels stay with the verifier; the conversion never sees them."""


class Verification(ApiModel):
    """How closely the converted model must agree with its source before it serves."""

    samples: Samples | None = None
    """Real inputs to compare on. Without them inputs are drawn within the model's input ranges, and the status
    says so."""
    max_relative_error: Annotated[float, Field(ge=0, le=1)] = 1e-3
    """The largest relative difference of an output from that of the source."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.99
    """The smallest share of samples on which converted model and source must name the same class."""
    min_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    """The smallest share of samples for which the converted model must name the right label. Needs samples with labels."""

    rules = (
        Rule["Verification"](
            "!has(self.minAccuracy) || has(self.samples)",
            "accuracy is measured on labelled samples: set samples.uri to an .npz with labels, or remove minAccuracy",
            lambda verification: verification.min_accuracy is None or verification.samples is not None,
            "minAccuracy",
        ),
    )


class Serving(ApiModel):
    """How a server runs the model. Changing it makes a new revision."""

    max_batch_size: Annotated[int, Field(ge=0, le=MAX_BATCH)] = 32
    """The largest batch that requests are put together to; 0 for a model whose inputs have no batch dimension."""
    preferred_batch_sizes: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=MAX_BATCH)], ...], Field(max_length=16), Distinct()] | None
    ) = None
    """Batch sizes to wait for, up to maxQueueDelay."""
    max_queue_delay: Annotated[DurationText, duration_from("0s", "10s")] | None = None
    """How long a request may wait for others to make a batch; not at all if not set."""
    max_queue_size: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """How many requests may wait in one server; 0, or not set, for no limit. One more is tried at another server, then
    refused."""
    queue_timeout: Annotated[DurationText, duration_from("0s", "1h")] | None = None
    """How long a request may wait in a server before it is refused; 0s, or not set, for no limit."""
    instances: CountOrAuto = "auto"
    """How many executions of the model one replica may run at once, from 1 to 64; auto leaves it to the server."""
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    """What executes the model: auto is what the device is. Another than the one asked for is never taken silently."""

    rules = (
        Rule["Serving"](
            "!has(self.preferredBatchSizes) || self.preferredBatchSizes.all(s, s <= self.maxBatchSize)",
            "a preferred batch size is larger than maxBatchSize: lower it, or raise maxBatchSize",
            lambda serving: all(size <= serving.max_batch_size for size in serving.preferred_batch_sizes or ()),
            "preferredBatchSizes",
        ),
        Rule["Serving"](
            "self.maxBatchSize > 0 || !(has(self.preferredBatchSizes) || has(self.maxQueueDelay) ||"
            " has(self.maxQueueSize) || has(self.queueTimeout))",
            "with maxBatchSize 0 nothing is batched or queued by policy: remove preferredBatchSizes, maxQueueDelay,"
            " maxQueueSize and queueTimeout, or set maxBatchSize to 1 or more",
            lambda serving: serving.max_batch_size > 0 or not serving.sets_queue_policy,
            "maxBatchSize",
        ),
    )

    @property
    def sets_queue_policy(self) -> bool:
        settings = (self.preferred_batch_sizes, self.max_queue_delay, self.max_queue_size, self.queue_timeout)
        return any(setting is not None for setting in settings)


class Placement(ApiModel):
    """On which devices the replicas are placed."""

    device: Literal["auto", "gpu", "cpu"] = "auto"
    """The kind of device; auto takes a GPU where there is one."""
    gpu_class: Annotated[
        str,
        Field(max_length=63),
        matching(
            "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?",
            "write any, or the GPU's product as the node's label nvidia.com/gpu.product names it",
        ),
    ] = "any"
    """The product of GPU as the node's label nvidia.com/gpu.product names it, for example NVIDIA-L4; or any."""
    memory: MemoryOrAuto = "auto"
    """Device memory of one replica, for example 4Gi, used until it has been measured; auto takes the conversion's estimate."""
    exclusive: bool = False
    """Whether the model has servers of its own, which no other model shares. Cannot be changed later."""
    pod_template: PodTemplate | None = None
    """What is different about the pods of those servers. Needs exclusive."""

    rules = (
        Rule["Placement"](
            "!has(self.podTemplate) || self.exclusive",
            "servers that models share have one pod template: set exclusive to true, or remove podTemplate",
            lambda placement: placement.pod_template is None or placement.exclusive,
            "podTemplate",
        ),
        Rule["Placement"](
            "self.gpuClass == 'any' || self.device != 'cpu'",
            "gpuClass names a GPU, but device is cpu: remove gpuClass, or set device to gpu",
            lambda placement: placement.gpu_class == "any" or placement.device != "cpu",
            "gpuClass",
        ),
    )
    # An exclusive pool belongs to the object from its first server on: no replica can move between its pool and a shared one
    # without a second device, and a name that once had a pool of its own must not meet that pool's leftovers.
    transitions = (
        Transition["Placement"](
            "self.exclusive == oldSelf.exclusive",
            "exclusive cannot be changed: create a ModelDeployment of another name, move the clients, delete this one",
            lambda old, new: old.exclusive == new.exclusive,
            "exclusive",
        ),
    )

    @property
    def wants_gpu(self) -> bool:
        return self.device == "gpu" or self.gpu_class != "any"


class Autoscaling(ApiModel):
    """How the number of replicas follows the load."""

    min_replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] = 1
    """Never fewer replicas. With 0 an idle model is unloaded and the next request waits at the gateway until it is back."""
    max_replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
    """Never more replicas."""
    target_queue_depth: Annotated[int, Field(ge=1, le=100_000)] = 4
    """How many requests may wait for each replica before there should be more replicas."""
    scale_down_delay: Annotated[DurationText, duration_from("0s", "24h")] = "60s"
    """How long fewer replicas must have been enough before one goes. Longer for a model that takes long to get ready."""
    idle_timeout: Annotated[DurationText, duration_from("1s", "168h")] | None = None
    """How long without a request before the last replica goes, 5m if not set. Needs minReplicas 0."""

    rules = (
        Rule["Autoscaling"](
            "self.minReplicas <= self.maxReplicas",
            "minReplicas is larger than maxReplicas: lower minReplicas, or raise maxReplicas",
            lambda scaling: scaling.min_replicas <= scaling.max_replicas,
            "minReplicas",
        ),
        Rule["Autoscaling"](
            "!has(self.idleTimeout) || self.minReplicas == 0",
            "the last replica only goes when minReplicas is 0: set minReplicas to 0, or remove idleTimeout",
            lambda scaling: scaling.idle_timeout is None or scaling.min_replicas == 0,
            "idleTimeout",
        ),
    )


class ModelDeploymentSpec(ApiModel):
    """What is wanted: which model, how it is served, on which devices and with how many replicas."""

    stopped: bool = False
    """Keeps the object but unloads the model everywhere; the gateway answers 503 and says that it is stopped."""
    model: Model
    """Which model to serve. Changing it makes a new revision."""
    verification: Verification = Verification()
    """How closely the converted model must agree with its source before it serves."""
    serving: Serving = Serving()
    """How a server runs the model. Changing it makes a new revision."""
    placement: Placement = Placement()
    """On which devices the replicas are placed."""
    replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] | None = None
    """How many replicas, 1 if neither this nor autoscaling is set. `kubectl scale` writes it."""
    autoscaling: Autoscaling | None = None
    """Lets the number of replicas follow the load. Excludes replicas."""

    rules = (
        Rule["ModelDeploymentSpec"](
            "!self.model.source.uri.startsWith('data:') || !has(self.verification.samples) ||"
            " !self.verification.samples.uri.startsWith('data:') ||"
            f" self.model.source.uri.size() + self.verification.samples.uri.size() <= {MAX_DATA_URIS}",
            f"the data: URIs of the model and its samples have at most {MAX_DATA_URIS} characters (192 KiB) together:"
            " put one of the files into a bucket and name it as s3://…",
            lambda spec: spec.data_characters <= MAX_DATA_URIS,
            "verification.samples.uri",
        ),
        Rule["ModelDeploymentSpec"](
            "!(has(self.replicas) && has(self.autoscaling))",
            "replicas and autoscaling exclude each other: remove replicas, or remove autoscaling to set the number by hand",
            lambda spec: spec.replicas is None or spec.autoscaling is None,
            "replicas",
        ),
        Rule["ModelDeploymentSpec"](
            "self.serving.provider != 'cuda' || self.placement.device != 'cpu'",
            "provider cuda needs a GPU, but placement.device is cpu: set device to gpu or auto, or provider to cpu or auto",
            lambda spec: spec.serving.provider != "cuda" or spec.placement.device != "cpu",
            "serving.provider",
        ),
        Rule["ModelDeploymentSpec"](
            "self.serving.provider != 'cpu' || (self.placement.device != 'gpu' && self.placement.gpuClass == 'any')",
            "provider cpu leaves a GPU unused, but placement asks for one: set device to cpu or auto and remove gpuClass,"
            " or set provider to cuda or auto",
            lambda spec: spec.serving.provider != "cpu" or not spec.placement.wants_gpu,
            "serving.provider",
        ),
    )

    @property
    def data_characters(self) -> int:
        """Of the files that are written into the object itself."""
        samples = self.verification.samples
        uris = (self.model.source.uri, samples.uri if samples else "")
        return sum(len(uri) for uri in uris if uri.startswith("data:"))
