"""Objects that are accepted and objects that are refused: the one table for our own tools and for real API servers."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

_REMOVE: Any = object()


def an_object(changes: Mapping[str, Any] | None = None, name: str = "digits") -> Json:
    """A small valid ModelDeployment with fields set by dotted path below `spec`; see `removed`."""
    content: Json = {
        "apiVersion": "forebay.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {"model": {"source": {"uri": "s3://models/digits.joblib"}}},
    }
    for path, value in (changes or {}).items():
        _set(content["spec"], path.split("."), value)
    return content


def removed() -> Any:
    """As a value in `an_object`: the field is left out."""
    return _REMOVE


def _set(content: Json, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        content = content.setdefault(part, {})
    if value is _REMOVE:
        content.pop(path[-1], None)
    else:
        content[path[-1]] = value


def a_data_uri(characters: int) -> str:
    """A data: URI of exactly this many characters."""
    prefix = "data:;base64,"
    return prefix + base64.b64encode(bytes(characters)).decode()[: characters - len(prefix)]


@dataclass(frozen=True)
class Accepted:
    name: str
    object: Json
    before: Json | None = None
    """The object that it replaces, for rules on changes."""


@dataclass(frozen=True)
class Refused:
    name: str
    object: Json
    field: str
    """Where our own tools say that it is wrong."""
    message: str
    """A part of the sentence: of ours, and of the API server's where `server` says nothing else."""
    server: str | None = None
    """A part of the API server's message, where the schema and not one of our rules refuses."""
    before: Json | None = None


_LINEAR = {"name": "x", "dtype": "FP32", "shape": [-1, 64]}
_AUTOSCALING = {"maxReplicas": 8}
_EXCLUSIVE = {"placement.exclusive": True}

ACCEPTED = (
    Accepted("the smallest object", an_object()),
    Accepted("the largest name", an_object(name="a" * 50)),
    Accepted("a name of one letter", an_object(name="a")),
    Accepted("stopped", an_object({"stopped": True})),
    *(
        Accepted(f"a source at {uri[:30]}", an_object({"model.source.uri": uri}))
        for uri in (
            "s3://models/m.onnx",
            "https://example.com/m.pkl",
            "http://example.com/a/m.pickle?version=3",
            "file:///models/m.skops",
            "/models/m.ONNX",
            "https://example.com/m.onnx#main",
        )
    ),
    Accepted("a tiny model inside", an_object({"model.source.uri": "data:;base64,AAAA", "model.format": "onnx"})),
    Accepted(
        "the largest model and samples inside",
        an_object(
            {
                "model.source.uri": a_data_uri(131072),
                "model.format": "onnx",
                "verification.samples.uri": a_data_uri(65536),
            }
        ),
    ),
    Accepted("the largest model inside", an_object({"model.source.uri": a_data_uri(131072), "model.format": "onnx"})),
    Accepted("the longest URI", an_object({"model.source.uri": "s3://" + "m" * 2038 + ".onnx"})),
    Accepted("a digest", an_object({"model.source.sha256": "0123456789abcdef" * 4})),
    Accepted("a secret", an_object({"model.source.secretRef": {"name": "my-s3"}})),
    Accepted(
        "a format where the URI says nothing", an_object({"model.source.uri": "s3://models/m", "model.format": "sklearn"})
    ),
    Accepted(
        "a format that differs from the ending", an_object({"model.source.uri": "s3://m/m.bin.onnx", "model.format": "onnx"})
    ),
    Accepted(
        "inputs of a scikit-learn model", an_object({"model.inputs": [_LINEAR, {**_LINEAR, "name": "y", "dtype": "INT64"}]})
    ),
    Accepted("an input of eight dimensions", an_object({"model.inputs": [{**_LINEAR, "shape": [-1, 1, 2, 3, 4, 5, 6, 7]}]})),
    Accepted(
        "a whole verification",
        an_object(
            {
                "verification": {
                    "samples": {"uri": "s3://models/digits.npz"},
                    "maxRelativeError": 0.01,
                    "minAgreement": 1,
                    "minAccuracy": 0.95,
                }
            }
        ),
    ),
    Accepted("an accuracy of nothing at all", an_object({"verification": {"maxRelativeError": 0, "minAgreement": 0}})),
    Accepted(
        "a whole serving",
        an_object(
            {
                "serving": {
                    "maxBatchSize": 64,
                    "preferredBatchSizes": [16, 64],
                    "maxQueueDelay": "100us",
                    "maxQueueSize": 200,
                    "queueTimeout": "1m30s",
                    "instances": 2,
                    "provider": "cuda",
                }
            }
        ),
    ),
    Accepted("no batches", an_object({"serving": {"maxBatchSize": 0}})),
    Accepted("instances left to the server", an_object({"serving": {"instances": "auto"}})),
    Accepted("a CPU", an_object({"placement": {"device": "cpu"}, "serving": {"provider": "cpu"}})),
    Accepted("a class of GPU", an_object({"placement": {"device": "gpu", "gpuClass": "NVIDIA-L4", "memory": "1.5Gi"}})),
    Accepted("memory as a number of bytes", an_object({"placement.memory": 4294967296})),
    Accepted(
        "a whole pod template",
        an_object(
            {
                **_EXCLUSIVE,
                "placement.podTemplate": {
                    "nodeSelector": {"example.com/zone": "b"},
                    "tolerations": [
                        {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
                        {"key": "team", "value": "vision"},
                        {"operator": "Exists"},
                    ],
                    "resources": {"requests": {"cpu": 2, "memory": "4Gi"}, "limits": {"cpu": "2500m", "memory": "8Gi"}},
                    "env": [{"name": "OMP_NUM_THREADS", "value": "2"}, {"name": "EMPTY"}],
                    "labels": {"team": "vision", "empty": "", "app.kubernetes.io/version": "2", "x" * 63: "long"},
                },
            }
        ),
    ),
    Accepted("three replicas", an_object({"replicas": 3})),
    Accepted("no replicas", an_object({"replicas": 0})),
    Accepted("the smallest autoscaling", an_object({"autoscaling": _AUTOSCALING})),
    Accepted(
        "a whole autoscaling",
        an_object(
            {
                "autoscaling": {
                    "minReplicas": 0,
                    "maxReplicas": 8,
                    "targetQueueDepth": 4,
                    "scaleDownDelay": "60s",
                    "idleTimeout": "5m",
                }
            }
        ),
    ),
    Accepted("as many at least as at most", an_object({"autoscaling": {"minReplicas": 3, "maxReplicas": 3}})),
    Accepted(
        "a change of everything that may change",
        an_object(
            {"model.source.uri": "s3://models/new.onnx", "placement": {"device": "cpu"}, "serving": {"maxBatchSize": 8}}
        ),
        before=an_object({"replicas": 2, **_EXCLUSIVE, "placement.exclusive": False}),
    ),
    Accepted("an exclusive model again", an_object(_EXCLUSIVE), before=an_object({**_EXCLUSIVE, "replicas": 2})),
)

_UNITS = "with its unit, such as 500ms, 60s, 5m or 1h30m"
_NAME = "at most 50 lower-case letters, digits and -"


def _wrong_duration(path: str, value: object, message: str, **others: object) -> Refused:
    content = an_object({path: value, **others})
    return Refused(
        f"{path} of {value!r}", content, f"spec.{path}", message, None if isinstance(value, str) else "must be of type"
    )


REFUSED = (
    # Names
    *(
        Refused(f"the name {name!r}", an_object(name=name), "metadata.name", _NAME, server="metadata.name")
        for name in ("Digits", "3d", "a_b", "a.b", "-a", "a-", "a" * 51)
    ),
    # Sources
    Refused("no model", an_object({"model": removed()}), "spec.model", "is missing", server="spec.model: Required value"),
    Refused(
        "no source",
        an_object({"model": {"format": "onnx"}}),
        "spec.model.source",
        "is missing",
        server="spec.model.source: Required value",
    ),
    *(
        Refused(f"a source at {uri!r}", an_object({"model.source.uri": uri}), "spec.model.source.uri", "use s3://…")
        for uri in (
            "gs://models/m.onnx",
            "models/m.onnx",
            "../m.onnx",
            "file://m.onnx",
            "data:text/plain,m.onnx",
            "S3://m/m.onnx",
        )
    ),
    Refused(
        "an empty URI",
        an_object({"model.source.uri": ""}),
        "spec.model.source.uri",
        "write a text of from 1 to",
        server="spec.model.source.uri in body should be at least 1 chars long",
    ),
    Refused(
        "a model inside that is too large",
        an_object({"model.source.uri": a_data_uri(131073), "model.format": "onnx"}),
        "spec.model.source.uri",
        "put the file into a bucket",
    ),
    Refused(
        "a model and samples inside that are too large together",
        an_object(
            {
                "model.source.uri": a_data_uri(131072),
                "model.format": "onnx",
                "verification.samples.uri": a_data_uri(65537),
            }
        ),
        "spec.verification.samples.uri",
        "put one of the files into a bucket",
    ),
    Refused(
        "a URI that is too long",
        an_object({"model.source.uri": "s3://" + "m" * 2039 + ".onnx"}),
        "spec.model.source.uri",
        "use a shorter one",
    ),
    *(
        Refused(
            f"the digest {digest[:8]}…", an_object({"model.source.sha256": digest}), "spec.model.source.sha256", "sha256sum"
        )
        for digest in ("0" * 63, "0" * 65, "A" * 64, "sha256:" + "0" * 57)
    ),
    Refused(
        "a secret for a file",
        an_object({"model.source.uri": "/models/m.onnx", "model.source.secretRef": {"name": "my-s3"}}),
        "spec.model.source.secretRef",
        "remove secretRef",
    ),
    Refused(
        "the name of no secret",
        an_object({"model.source.secretRef": {"name": "My Secret"}}),
        "spec.model.source.secretRef.name",
        "lower-case letters",
    ),
    *(
        Refused(
            f"the secret {name}",
            an_object({"model.source.secretRef": {"name": name}}),
            "spec.model.source.secretRef.name",
            "use a Secret that was made for the source",
        )
        for name in ("forebay-store", "forebay-store-read", "forebay-repository-token")
    ),
    *(
        Refused(
            f"no format for {uri[:24]}", an_object({"model.source.uri": uri}), "spec.model", "set format to onnx or sklearn"
        )
        for uri in (
            "s3://models/m",
            "data:;base64,AAAA",
            "data:x.onnx;base64,AAAA",
            "https://example.com/onnx",
            "/m.onnx/model",
        )
    ),
    Refused(
        "a format that is not known",
        an_object({"model.format": "skleran"}),
        "spec.model.format",
        "did you mean sklearn?",
        server='Unsupported value: "skleran": supported values: "onnx", "sklearn"',
    ),
    Refused(
        "inputs of an ONNX file",
        an_object({"model.format": "onnx", "model.inputs": [_LINEAR]}),
        "spec.model.inputs",
        "remove inputs",
    ),
    Refused(
        "inputs of a file that is ONNX by its name",
        an_object({"model.source.uri": "s3://models/m.onnx", "model.inputs": [_LINEAR]}),
        "spec.model.inputs",
        "remove inputs",
    ),
    Refused(
        "two inputs of one name",
        an_object({"model.inputs": [_LINEAR, _LINEAR]}),
        "spec.model.inputs",
        "keep one",
        server="Duplicate value",
    ),
    Refused(
        "a dimension of nothing",
        an_object({"model.inputs": [{**_LINEAR, "shape": [0, 64]}]}),
        "spec.model.inputs[0].shape",
        "replace the 0",
    ),
    Refused(
        "a dimension below -1",
        an_object({"model.inputs": [{**_LINEAR, "shape": [-2]}]}),
        "spec.model.inputs[0].shape[0]",
        "write a number from -1",
        server="should be greater than or equal to -1",
    ),
    Refused(
        "no dimension",
        an_object({"model.inputs": [{**_LINEAR, "shape": []}]}),
        "spec.model.inputs[0].shape",
        "give from 1 to 8 items",
        server="should have at least 1 items",
    ),
    Refused(
        "an unknown type of elements",
        an_object({"model.inputs": [{**_LINEAR, "dtype": "float32"}]}),
        "spec.model.inputs[0].dtype",
        "is not one of",
        server="Unsupported value",
    ),
    # Verification
    Refused(
        "an accuracy without samples",
        an_object({"verification": {"minAccuracy": 0.9}}),
        "spec.verification.minAccuracy",
        "set samples.uri",
    ),
    Refused(
        "an agreement in percent",
        an_object({"verification": {"minAgreement": 99}}),
        "spec.verification.minAgreement",
        "write a number from 0 to 1",
        server="should be less than or equal to 1",
    ),
    # Serving
    Refused(
        "a preferred batch above the largest",
        an_object({"serving": {"maxBatchSize": 8, "preferredBatchSizes": [4, 16]}}),
        "spec.serving.preferredBatchSizes",
        "raise maxBatchSize",
    ),
    *(
        Refused(
            f"{setting} without batches",
            an_object({"serving": {"maxBatchSize": 0, setting: value}}),
            "spec.serving.maxBatchSize",
            "set maxBatchSize to 1 or more",
        )
        for setting, value in (
            ("preferredBatchSizes", []),
            ("maxQueueDelay", "1ms"),
            ("maxQueueSize", 10),
            ("queueTimeout", "1s"),
        )
    ),
    Refused(
        "a preferred batch twice",
        an_object({"serving": {"preferredBatchSizes": [8, 8]}}),
        "spec.serving.preferredBatchSizes",
        "keep one",
        server="Duplicate value",
    ),
    *(
        Refused(f"{count!r} instances", an_object({"serving.instances": count}), "spec.serving.instances", "from 1 to 64")
        for count in (0, 65, "2", "many")
    ),
    _wrong_duration("serving.maxQueueDelay", "11s", "from 0s to 10s"),
    _wrong_duration("serving.queueTimeout", "1.5s", _UNITS),
    Refused(
        "a provider for a device that cannot be it",
        an_object({"serving": {"provider": "cuda"}, "placement": {"device": "cpu"}}),
        "spec.serving.provider",
        "provider cuda needs a GPU",
    ),
    *(
        Refused(
            f"provider cpu on {placement}",
            an_object({"serving": {"provider": "cpu"}, "placement": placement}),
            "spec.serving.provider",
            "provider cpu leaves a GPU unused",
        )
        for placement in ({"device": "gpu"}, {"gpuClass": "NVIDIA-L4"})
    ),
    # Placement
    Refused(
        "a class of GPU that is no label",
        an_object({"placement": {"gpuClass": "NVIDIA L4"}}),
        "spec.placement.gpuClass",
        "the node's label nvidia.com/gpu.product",
    ),
    Refused(
        "a class of GPU for a CPU",
        an_object({"placement": {"device": "cpu", "gpuClass": "NVIDIA-L4"}}),
        "spec.placement.gpuClass",
        "remove gpuClass",
    ),
    *(
        Refused(f"memory of {memory!r}", an_object({"placement.memory": memory}), "spec.placement.memory", "such as 4Gi")
        for memory in ("4GB", "0", "-1Gi", "4 Gi", "Auto", "", 0, -1, "0.0Gi")
    ),
    Refused(
        "memory of true",
        an_object({"placement.memory": True}),
        "spec.placement.memory",
        "write a whole number or a text",
        server="must be of type integer,string",
    ),
    Refused(
        "a pod template without exclusive",
        an_object({"placement": {"podTemplate": {"nodeSelector": {"a": "b"}}}}),
        "spec.placement.podTemplate",
        "set exclusive to true",
    ),
    Refused(
        "a variable of ours",
        an_object({**_EXCLUSIVE, "placement.podTemplate.env": [{"name": "FOREBAY_STORE"}]}),
        "spec.placement.podTemplate.env[0].name",
        "choose another",
    ),
    Refused(
        "a variable with a dash",
        an_object({**_EXCLUSIVE, "placement.podTemplate.env": [{"name": "A-B"}]}),
        "spec.placement.podTemplate.env[0].name",
        "no digit first",
    ),
    Refused(
        "a variable twice",
        an_object({**_EXCLUSIVE, "placement.podTemplate.env": [{"name": "A"}, {"name": "A"}]}),
        "spec.placement.podTemplate.env",
        "keep one",
        server="Duplicate value",
    ),
    *(
        Refused(
            f"the toleration {toleration}",
            an_object({**_EXCLUSIVE, "placement.podTemplate.tolerations": [toleration]}),
            f"spec.placement.podTemplate.tolerations[0].{field}",
            message,
        )
        for toleration, field, message in (
            ({"key": "a", "operator": "Exists", "value": "b"}, "value", "remove value"),
            ({"value": "b"}, "operator", "set key"),
            ({"key": "a", "tolerationSeconds": 5}, "tolerationSeconds", "set effect to NoExecute"),
            ({"key": "a b", "operator": "Exists"}, "key", "such as team or example.com/team"),
            ({"key": "a", "value": "b c"}, "value", "write letters, digits"),
        )
    ),
    *(
        Refused(
            f"{quantity!r} of memory in a pod",
            an_object({**_EXCLUSIVE, "placement.podTemplate.resources.limits": {"memory": quantity}}),
            "spec.placement.podTemplate.resources.limits.memory",
            "such as 2, 500m or 4Gi",
        )
        for quantity in ("4GB", "", -1)
    ),
    *(
        Refused(
            f"the variable {name}",
            an_object({**_EXCLUSIVE, "placement.podTemplate.env": [{"name": name, "value": "/"}]}),
            "spec.placement.podTemplate.env[0].name",
            "are set by Forebay",
        )
        for name in ("HOME", "TMPDIR", "ORT_DISABLE_TELEMETRY")
    ),
    *(
        Refused(
            f"the variable {name}",
            an_object({**_EXCLUSIVE, "placement.podTemplate.env": [{"name": name, "value": "http://elsewhere"}]}),
            "spec.placement.podTemplate.env[0].name",
            "which store, code and certificates servers trust",
        )
        for name in ("AWS_ENDPOINT_URL_STS", "aws_region", "LD_PRELOAD", "PYTHONPATH", "https_proxy", "REQUESTS_CA_BUNDLE")
    ),
    *(
        Refused(
            f"the {field} {key[:70]!r}",
            an_object({**_EXCLUSIVE, "placement.podTemplate": {field: {key: "a"}}}),
            f"spec.placement.podTemplate.{field}",
            "such as team or example.com/team",
        )
        for field in ("nodeSelector", "labels")
        for key in ("computer vision", "-a", "a/b/c", "x" * 64, "Example.com/team", f"{'d' * 254}/a")
    ),
    Refused(
        "a resource whose name is none",
        an_object({**_EXCLUSIVE, "placement.podTemplate.resources": {"limits": {"example com": 1}}}),
        "spec.placement.podTemplate.resources.limits",
        "such as team or example.com/team",
    ),
    *(
        Refused(
            f"GPUs in the {field} of a server",
            an_object({**_EXCLUSIVE, "placement.podTemplate.resources": {field: {"nvidia.com/gpu": 2}}}),
            f"spec.placement.podTemplate.resources.{field}",
            "each server has one GPU",
        )
        for field in ("requests", "limits")
    ),
    *(
        Refused(
            f"the label {key} of ours",
            an_object({**_EXCLUSIVE, "placement.podTemplate.labels": {key: "a"}}),
            "spec.placement.podTemplate.labels",
            "itself: remove them",
        )
        for key in ("app.kubernetes.io/managed-by", "forebay.dev/pool")
    ),
    Refused(
        "a label that is none",
        an_object({**_EXCLUSIVE, "placement.podTemplate.labels": {"team": "computer vision"}}),
        "spec.placement.podTemplate.labels.team",
        "write letters, digits",
    ),
    # Replicas
    Refused(
        "replicas beside autoscaling",
        an_object({"replicas": 2, "autoscaling": _AUTOSCALING}),
        "spec.replicas",
        "remove replicas, or remove autoscaling",
    ),
    Refused(
        "too many replicas",
        an_object({"replicas": 1001}),
        "spec.replicas",
        "write a number from 0 to 1000",
        server="should be less than or equal to 1000",
    ),
    Refused(
        "replicas as a text",
        an_object({"replicas": "2"}),
        "spec.replicas",
        "without quotes",
        server="must be of type integer",
    ),
    Refused(
        "autoscaling without an upper end",
        an_object({"autoscaling": {"minReplicas": 1}}),
        "spec.autoscaling.maxReplicas",
        "is missing",
        server="spec.autoscaling.maxReplicas: Required value",
    ),
    Refused(
        "more at least than at most",
        an_object({"autoscaling": {"minReplicas": 9, "maxReplicas": 8}}),
        "spec.autoscaling.minReplicas",
        "lower minReplicas, or raise maxReplicas",
    ),
    Refused(
        "an idle time-out of what never goes",
        an_object({"autoscaling": {**_AUTOSCALING, "idleTimeout": "5m"}}),
        "spec.autoscaling.idleTimeout",
        "set minReplicas to 0",
    ),
    *(
        _wrong_duration(
            "autoscaling.idleTimeout", value, _UNITS, **{"autoscaling.minReplicas": 0, "autoscaling.maxReplicas": 1}
        )
        for value in ("", "0s", "5", "5 minutes", "5min", "-5m", "30s5m", "1d", "9999999s", "169h", "5m\n")
    ),
    _wrong_duration("autoscaling.scaleDownDelay", "25h", "from 0s to 24h", **{"autoscaling.maxReplicas": 1}),
    _wrong_duration("autoscaling.scaleDownDelay", 60, "for example 60s", **{"autoscaling.maxReplicas": 1}),
    # Fields that are not there
    *(
        Refused(
            f"the unknown field {path}",
            an_object({path: 1, **more}),
            f"spec.{path}",
            message,
            server=f'unknown field "spec.{path}"',
        )
        for path, message, more in (
            ("autoscaling.maxReplica", "did you mean `maxReplicas`?", {"autoscaling.maxReplicas": 1}),
            ("autoscaling.max_replicas", "did you mean `maxReplicas`?", {"autoscaling.maxReplicas": 1}),
            ("maxReplicas", "it belongs to spec.autoscaling", {}),
            ("maxBatchSize", "it belongs to spec.serving", {}),
            ("model.source.url", "did you mean `uri`?", {}),
            ("colour", "remove it; the fields here are stopped, model,", {}),
        )
    ),
    # Changes
    *(
        Refused(
            f"exclusive changed to {after}",
            an_object({"placement.exclusive": after}),
            "spec.placement.exclusive",
            "create a ModelDeployment of another name",
            before=an_object({"placement.exclusive": not after}),
        )
        for after in (True, False)
    ),
)
