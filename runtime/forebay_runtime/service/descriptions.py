"""What the server says of itself and its models, as the v2 protocol's JSON documents."""

from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Any, Final

from forebay_runtime.domain.lifecycle import State
from forebay_runtime.protocol import model_config as configuration
from forebay_runtime.protocol.errors import InvalidArgumentError
from forebay_runtime.protocol.signature import ModelSignature, TensorSignature
from forebay_runtime.service.loaded_version import LoadedVersion
from forebay_runtime.service.model_store import IndexRow, ModelStore
from forebay_runtime.service.statistics import Duration, Statistics

Json = dict[str, Any]

SERVER_NAME: Final = "forebay"
EXTENSIONS: Final = (
    "classification",
    "model_repository",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
PLATFORM: Final = "onnxruntime_onnx"


def server_metadata() -> Json:
    return {"name": SERVER_NAME, "version": version_of("forebay"), "extensions": list(EXTENSIONS)}


def model_metadata(loaded: LoadedVersion, versions: Sequence[int]) -> Json:
    signature = loaded.signature
    return {
        "name": signature.name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": [_tensor(signature, tensor) for tensor in signature.inputs],
        "outputs": [_tensor(signature, tensor) for tensor in signature.outputs],
    }


def _tensor(signature: ModelSignature, tensor: TensorSignature) -> Json:
    return {
        "name": tensor.name,
        "datatype": tensor.datatype.name,
        "shape": list(signature.full_dims(tensor)),
    }


def model_config(loaded: LoadedVersion) -> Json:
    return configuration.to_document(loaded.served.config)


def index(rows: Sequence[IndexRow], *, ready_only: bool) -> list[Json]:
    """The repository index; what is not known of a model never loaded is left out."""
    return [_index_row(row) for row in rows if not ready_only or row.state is State.READY]


def _index_row(row: IndexRow) -> Json:
    if row.version is None:
        return {"name": row.name}
    entry: Json = {"name": row.name, "version": str(row.version), "state": row.state.value}
    if row.reason:
        entry["reason"] = row.reason
    return entry


def statistics(store: ModelStore, model: str, version: int | None) -> Json:
    """Statistics of one version, of all of a model, or (model "") of all.

    Raises:
        InvalidArgumentError: the model or version is not loaded (400, as in Triton).
    """
    chosen = [loaded for loaded in store.loaded() if model in ("", loaded.key.model) and version in (None, loaded.key.version)]
    if model and not chosen:
        if version is None or not store.ready_versions(model):
            raise InvalidArgumentError(f"requested model '{model}' is not available")
        raise InvalidArgumentError(f"requested model version is not available for model '{model}'")
    chosen.sort(key=lambda loaded: loaded.key)
    return {"model_stats": [_statistics(loaded) for loaded in chosen]}


def _statistics(loaded: LoadedVersion) -> Json:
    seen = loaded.statistics
    return {
        "name": loaded.key.model,
        "version": str(loaded.key.version),
        "last_inference": seen.last_inference_ms,
        "inference_count": seen.inference_count,
        "execution_count": seen.execution_count,
        "inference_stats": _inference_stats(seen),
        "response_stats": {},
        "batch_stats": [_batch(rows, seen) for rows in sorted(seen.by_rows)],
        "memory_usage": [{"type": _memory_type(loaded), "id": 0, "byte_size": loaded.footprint_bytes}],
    }


def _memory_type(loaded: LoadedVersion) -> str:
    return "GPU" if loaded.provider.startswith("cuda") else "CPU"


def _inference_stats(seen: Statistics) -> Json:
    nothing = Duration()
    return {
        "success": _duration(seen.success),
        "fail": _duration(seen.fail),
        "queue": _duration(seen.queue),
        "compute_input": _duration(seen.compute_input),
        "compute_infer": _duration(seen.compute_infer),
        "compute_output": _duration(seen.compute_output),
        "cache_hit": _duration(nothing),
        "cache_miss": _duration(nothing),
    }


def _batch(rows: int, seen: Statistics) -> Json:
    size = seen.by_rows[rows]
    return {
        "batch_size": rows,
        "compute_input": _duration(size.input),
        "compute_infer": _duration(size.infer),
        "compute_output": _duration(size.output),
    }


def _duration(duration: Duration) -> Json:
    return {"count": duration.count, "ns": duration.ns}
