"""The operator's own metrics: of models and devices as the last step saw them, and of its own work."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from forebay_operator.domain.actions import Action
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.snapshot import ConversionId, ConversionPhase, GatewayDemand, Snapshot
from forebay_operator.domain.status import DeploymentStatus, ScalingStatus
from forebay_schema.addresses import ModelAddress

_MODEL: Final = ["namespace", "name"]
_DEVICE: Final = ["namespace", "server", "device"]
_FIGURE: Final = re.compile(r"\d+(\.\d+)?")
_CONVERSION_BUCKETS: Final = (1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0)
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
            "forebay_scaling_decisions",
            "Changes of the replicas wanted; the reason is the status's, with # for figures",
            [*_MODEL, "direction", "reason"],
            registry=self.registry,
        )
        self._conversions = Histogram(
            "forebay_conversion_seconds",
            "Duration of conversions that ended, by how",
            ["namespace", "outcome"],
            buckets=_CONVERSION_BUCKETS,
            registry=self.registry,
        )
        self._ended: frozenset[tuple[ConversionId, int]] | None = None
        self._counted: tuple[Deployment, ...] = ()
        """The ModelDeployments whose decisions were counted last."""
        self._view = _View()
        self.registry.register(self._view)

    def called(self, verb: str, kind: str, status: int) -> None:
        self._calls.labels(verb, kind, str(status) if status else "none").inc()

    def stepped(self, snapshot: Snapshot, actions: Iterable[Action], seconds: float) -> None:
        self._steps.observe(seconds)
        for action in actions:
            self._actions.labels(type(action).__name__).inc()
        self._count_decisions(snapshot)
        self._time_conversions(snapshot)
        self._view.snapshot = snapshot

    def leads_no_more(self) -> None:
        """What another operator sees is not shown here."""
        self._view.snapshot = None

    def _count_decisions(self, snapshot: Snapshot) -> None:
        if snapshot.deployments is self._counted:
            return
        self._counted, before = snapshot.deployments, self._view.wanted
        now = {
            deployment.address: deployment.status.scaling
            for deployment in snapshot.deployments
            if deployment.status is not None and deployment.status.scaling is not None
        }
        for address, scaling in now.items():
            was = before.get(address, scaling).wanted
            if was != scaling.wanted:
                direction = "up" if scaling.wanted > was else "down"
                self._decisions.labels(address.namespace, address.name, direction, _kind_of_reason(scaling)).inc()
        for address in before.keys() - now.keys():
            self._forget(address)
        self._view.wanted = now

    def _forget(self, address: ModelAddress) -> None:
        """What is counted of a model goes with it."""
        self._decisions.remove_by_labels({"namespace": address.namespace, "name": address.name})

    def _time_conversions(self, snapshot: Snapshot) -> None:
        """Each that has ended since the first look is counted once."""
        ended = {(each.id, each.attempt): each for each in snapshot.conversions if each.finished_at is not None}
        if self._ended is not None:
            for key in ended.keys() - self._ended:
                each = ended[key]
                seconds = (each.finished_at or each.started_at) - each.started_at
                self._conversions.labels(each.id.namespace, each.phase.value).observe(seconds)
        self._ended = frozenset(ended)


class _View(Collector):
    """Gauges of the last snapshot."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.wanted: Mapping[ModelAddress, ScalingStatus] = {}

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
    total = GaugeMetricFamily("forebay_device_memory_bytes", "Device memory that models may take", labels=_DEVICE)
    placed = GaugeMetricFamily(
        "forebay_device_placed_bytes", "Device memory that is planned for the models there, measured or not", labels=_DEVICE
    )
    measured = GaugeMetricFamily(
        "forebay_device_measured_bytes", "Device memory that models were measured to take", labels=_DEVICE
    )
    needs = {
        deployment.address: deployment.status.footprint.bytes
        for deployment in snapshot.deployments
        if deployment.status is not None and deployment.status.footprint is not None
    }
    for server in snapshot.servers:
        namespace = server.pool.namespace
        values = [namespace, server.name, server.pool.device.name]
        total.add_metric(values, server.pool.device.memory_bytes)
        measured.add_metric(values, sum(holding.footprint_bytes or 0 for holding in server.holdings))
        placed.add_metric(
            values,
            sum(
                holding.footprint_bytes or needs.get(ModelAddress(namespace, holding.model), 0) for holding in server.holdings
            ),
        )
    return total, placed, measured


def _conversions(snapshot: Snapshot) -> Iterable[Metric]:
    known = GaugeMetricFamily("forebay_conversions", "Conversions that are known, by phase", labels=["phase"])
    for phase in ConversionPhase:
        known.add_metric([phase.value], sum(each.phase is phase for each in snapshot.conversions))
    return (known,)


def _kind_of_reason(scaling: ScalingStatus) -> str:
    """The newest decision's reason without its figures, of which there would be any number."""
    return _FIGURE.sub("#", scaling.decisions[-1].reason.rstrip(".")) if scaling.decisions else ""
