"""The operator's own metrics: of models and devices as the last step saw them, and of its own work."""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from forebay_operator.domain.actions import Action
from forebay_operator.domain.snapshot import ConversionPhase, GatewayDemand, Snapshot
from forebay_operator.domain.status import DeploymentStatus
from forebay_schema.addresses import ModelAddress

_MODEL: Final = ["namespace", "name"]
_STEP_BUCKETS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class OperatorMetrics:
    """Everything that `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "forebay_operator_api_calls", "Calls to the API server", ["verb", "kind", "status"], registry=self.registry
        )
        self._steps = Histogram(
            "forebay_operator_step_seconds", "Duration of the control step", buckets=_STEP_BUCKETS, registry=self.registry
        )
        self._actions = Counter("forebay_operator_actions", "Actions of the control step", ["kind"], registry=self.registry)
        self._decisions = Counter(
            "forebay_scaling_decisions", "Changes of the replicas wanted", [*_MODEL, "direction"], registry=self.registry
        )
        self._view = _View()
        self.registry.register(self._view)

    def called(self, verb: str, kind: str, status: int) -> None:
        self._calls.labels(verb, kind, str(status) if status else "none").inc()

    def stepped(self, snapshot: Snapshot, actions: Iterable[Action], seconds: float) -> None:
        self._steps.observe(seconds)
        for action in actions:
            self._actions.labels(type(action).__name__).inc()
        self._count_decisions(snapshot)
        self._view.snapshot = snapshot

    def leads_no_more(self) -> None:
        """What another operator sees is not shown here."""
        self._view.snapshot = None

    def _count_decisions(self, snapshot: Snapshot) -> None:
        before = self._view.wanted
        now = {
            deployment.address: deployment.status.scaling.wanted
            for deployment in snapshot.deployments
            if deployment.status is not None and deployment.status.scaling is not None
        }
        for address, wanted in now.items():
            was = before.get(address, wanted)
            if was != wanted:
                self._decisions.labels(address.namespace, address.name, "up" if wanted > was else "down").inc()
        self._view.wanted = now


class _View(Collector):
    """Gauges of the last snapshot."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.wanted: Mapping[ModelAddress, int] = {}

    def collect(self) -> Iterable[Metric]:
        snapshot = self.snapshot
        yield GaugeMetricFamily("forebay_operator_leads", "1 while this operator acts", value=float(snapshot is not None))
        if snapshot is not None:
            yield from _models(snapshot)
            yield from _devices(snapshot)
            yield from _conversions(snapshot)

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first step."""
        return []


def _models(snapshot: Snapshot) -> Iterable[Metric]:
    families = {
        "wanted": GaugeMetricFamily("forebay_replicas_wanted", "Replicas wanted", labels=_MODEL),
        "ready": GaugeMetricFamily("forebay_replicas_ready", "Replicas that answer", labels=_MODEL),
        "queue": GaugeMetricFamily("forebay_queue_depth", "Requests waiting for each ready replica", labels=_MODEL),
        "held": GaugeMetricFamily("forebay_held_requests", "Requests waiting at gateways for a replica", labels=_MODEL),
        "footprint": GaugeMetricFamily("forebay_footprint_bytes", "Device memory that a replica needs", labels=_MODEL),
    }
    demand = snapshot.demand or {}
    for deployment in snapshot.deployments:
        if deployment.status is not None:
            labels = [deployment.address.namespace, deployment.address.name]
            figures = _figures(deployment.status, demand.get(deployment.address, GatewayDemand()))
            for name, value in figures.items():
                families[name].add_metric(labels, value)
    return families.values()


def _figures(status: DeploymentStatus, demand: GatewayDemand) -> Mapping[str, float]:
    figures: dict[str, float] = {"ready": status.ready_replicas, "held": demand.held}
    if status.scaling is not None:
        figures |= {"wanted": status.scaling.wanted, "queue": status.scaling.queue_depth}
    if status.footprint is not None:
        figures["footprint"] = status.footprint.bytes
    return figures


def _devices(snapshot: Snapshot) -> Iterable[Metric]:
    labels = ["namespace", "server", "device"]
    total = GaugeMetricFamily("forebay_device_memory_bytes", "Device memory that models may take", labels=labels)
    measured = GaugeMetricFamily(
        "forebay_device_measured_bytes", "Device memory that models were measured to take", labels=labels
    )
    for server in snapshot.servers:
        values = [server.pool.namespace, server.name, server.pool.device.name]
        total.add_metric(values, server.pool.device.memory_bytes)
        measured.add_metric(values, sum(holding.footprint_bytes or 0 for holding in server.holdings))
    return total, measured


def _conversions(snapshot: Snapshot) -> Iterable[Metric]:
    running = GaugeMetricFamily("forebay_conversions", "Conversions that are known, by phase", labels=["phase"])
    seconds = GaugeMetricFamily("forebay_conversion_seconds", "How long a conversion took", labels=["namespace", "conversion"])
    for phase in ConversionPhase:
        running.add_metric([phase.value], sum(each.phase is phase for each in snapshot.conversions))
    for each in snapshot.conversions:
        if each.finished_at is not None:
            seconds.add_metric([each.id.namespace, each.id.digest[:16]], each.finished_at - each.started_at)
    return running, seconds
