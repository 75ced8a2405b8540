"""The metrics page, in Prometheus' text form: Triton's names, and ours where Triton's cannot say it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.engine.devices import Device
from forebay_runtime.protocol.http_answers import TEXT, HttpAnswer, error_body
from forebay_runtime.server.http_connection import Exchange
from forebay_runtime.service.data_plane import DataPlane
from forebay_runtime.service.loaded_version import LoadedVersion
from forebay_runtime.service.statistics import FailureReason
from forebay_schema import metrics

_CONTENT_TYPE: Final = "text/plain; charset=utf-8"

Labels = Sequence[tuple[str, str]]
Number = int | float


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of every loaded version."""

    name: str
    kind: str
    help: str
    value: Callable[[LoadedVersion], Number]


FAMILIES: Final = (
    Family(
        metrics.REQUEST_SUCCESS,
        "counter",
        "Number of successful inference requests, all batch sizes",
        lambda loaded: loaded.statistics.success.count,
    ),
    Family(
        metrics.INFERENCE_COUNT,
        "counter",
        "Number of inferences performed (does not include cached requests)",
        lambda loaded: loaded.statistics.inference_count,
    ),
    Family(
        metrics.EXECUTION_COUNT,
        "counter",
        "Number of model executions performed (does not include cached requests)",
        lambda loaded: loaded.statistics.execution_count,
    ),
    Family(
        "nv_inference_request_duration_us",
        "counter",
        "Cumulative inference request duration in microseconds",
        lambda loaded: loaded.statistics.success.ns // 1000,
    ),
    Family(
        "nv_inference_queue_duration_us",
        "counter",
        "Cumulative inference queuing duration in microseconds",
        lambda loaded: loaded.statistics.queue.ns // 1000,
    ),
    Family(
        "nv_inference_compute_input_duration_us",
        "counter",
        "Cumulative compute input duration in microseconds",
        lambda loaded: loaded.statistics.compute_input.ns // 1000,
    ),
    Family(
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Cumulative compute inference duration in microseconds",
        lambda loaded: loaded.statistics.compute_infer.ns // 1000,
    ),
    Family(
        "nv_inference_compute_output_duration_us",
        "counter",
        "Cumulative inference compute output duration in microseconds",
        lambda loaded: loaded.statistics.compute_output.ns // 1000,
    ),
    Family(
        metrics.PENDING,
        "gauge",
        "Instantaneous number of pending requests awaiting execution per-model.",
        lambda loaded: loaded.batcher.waiting,
    ),
    Family(
        "nv_model_load_duration_secs",
        "gauge",
        "Model load time in seconds",
        lambda loaded: round(loaded.load_seconds, 6),
    ),
    Family(
        metrics.BUSY_SECONDS,
        "counter",
        "Time in execution, once per batch, summed over the instances",
        lambda loaded: loaded.statistics.busy_ns / 1e9,
    ),
    Family(metrics.EXECUTING, "gauge", "Requests in execution now", lambda loaded: loaded.batcher.executing),
    Family(
        metrics.MODEL_MEMORY,
        "gauge",
        "Device memory that the version takes, as measured at load",
        lambda loaded: loaded.footprint_bytes,
    ),
    Family(
        metrics.MODEL_INSTANCES,
        "gauge",
        "Instances that execute batches of the version",
        lambda loaded: loaded.batcher.instance_count,
    ),
)


def page(data_plane: DataPlane, device: Device) -> str:
    """All metrics as they are now."""
    loaded = sorted(data_plane.store.loaded(), key=lambda version: version.key)
    lines: list[str] = []
    for family in FAMILIES:
        samples = ((_labels(version.key), family.value(version)) for version in loaded)
        lines += _family(family.name, family.kind, family.help, samples)
    lines += _family(
        metrics.REQUEST_FAILURE, "counter", "Number of failed inference requests, all batch sizes", _failures(loaded)
    )
    lines += _family(metrics.MODEL_INFO, "gauge", "What the version is, always 1", ((_info(version), 1) for version in loaded))
    lines += _family(
        metrics.REFUSED_MEMORY,
        "gauge",
        "Device memory that the version was found to take, for which its load was refused",
        ((_labels(key), needed) for key, needed in sorted(data_plane.store.refused())),
    )
    lines += _family(
        metrics.DEVICE_MEMORY,
        "gauge",
        "Device memory that models may take",
        [((("kind", device.kind), ("name", device.name)), device.total_bytes)],
    )
    lines += _family(
        metrics.REFUSED_CALLS,
        "counter",
        "gRPC calls refused because as many as the server takes at once were under way",
        [((), data_plane.refused_calls)],
    )
    lines += _family(metrics.SERVER_DRAINING, "gauge", "1 once the server is shutting down", [((), int(data_plane.draining))])
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[Labels, Number]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels)
        yield f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"


def _labels(key: VersionKey) -> Labels:
    return (("model", key.model), ("version", str(key.version)))


def _info(loaded: LoadedVersion) -> Labels:
    return (*_labels(loaded.key), ("digest", loaded.origin.digest), ("provider", loaded.provider))


def _failures(loaded: Sequence[LoadedVersion]) -> Iterator[tuple[Labels, Number]]:
    for version in loaded:
        for reason in FailureReason:
            yield (*_labels(version.key), ("reason", reason.value)), version.statistics.failures[reason]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class MetricsApi:
    """Answers `GET /metrics`; as in Triton, other paths are empty and other verbs refused."""

    max_body_bytes = 0
    closing = False

    def __init__(self, data_plane: DataPlane, device: Device) -> None:
        self._data_plane = data_plane
        self._device = device

    def handle(self, exchange: Exchange) -> None:
        if exchange.head.method != "GET":
            exchange.answer(HttpAnswer(405, (error_body("Method Not Allowed"),), TEXT))
        elif exchange.head.path in ("/metrics", "/metrics/"):
            text = page(self._data_plane, self._device)
            exchange.answer(HttpAnswer(200, (text.encode(),), _CONTENT_TYPE))
        else:
            exchange.answer(HttpAnswer(200, content_type=_CONTENT_TYPE))
