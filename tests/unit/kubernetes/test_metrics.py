"""What the operator's metrics say."""

from collections.abc import Mapping

from forebay_operator.worlds.kubernetes.metrics import OperatorMetrics
from metrics_page import a_moment, an_hour

MODEL = {"namespace": "default", "name": "digits"}
DEVICE = {"namespace": "default", "server": "s-1", "device": "simulated"}


def _value(metrics: OperatorMetrics, name: str, labels: Mapping[str, str]) -> float | None:
    return metrics.registry.get_sample_value(name, dict(labels))


def test_each_model_shows_what_is_wanted_and_what_is_there() -> None:
    metrics = an_hour()
    assert _value(metrics, "forebay_replicas_wanted", MODEL) == 3
    assert _value(metrics, "forebay_replicas_ready", MODEL) == 1
    assert _value(metrics, "forebay_queue_depth", MODEL) == 0.5
    assert _value(metrics, "forebay_held_requests", MODEL) == 3
    assert _value(metrics, "forebay_footprint_bytes", MODEL) == 1 << 30


def test_each_device_shows_what_is_planned_there_before_it_is_measured() -> None:
    metrics = an_hour()
    assert _value(metrics, "forebay_device_memory_bytes", DEVICE) == 16 << 30
    assert _value(metrics, "forebay_device_placed_bytes", DEVICE) == 1 << 30
    assert _value(metrics, "forebay_device_measured_bytes", DEVICE) == 0


def test_decisions_are_counted_by_their_reason_without_its_figures() -> None:
    labels = {**MODEL, "direction": "up", "reason": "# requests wait"}
    assert _value(an_hour(), "forebay_scaling_decisions_total", labels) == 1


def test_a_conversion_is_timed_once_however_long_it_is_known() -> None:
    metrics = an_hour()
    ended = {"namespace": "default", "outcome": "succeeded"}
    assert _value(metrics, "forebay_conversion_seconds_sum", ended) == 7
    metrics.stepped(a_moment(wanted=3), (), 0.002)
    assert _value(metrics, "forebay_conversion_seconds_count", ended) == 1


def test_an_operator_that_does_not_lead_shows_no_models() -> None:
    metrics = an_hour()
    metrics.leads_no_more()
    assert _value(metrics, "forebay_operator_leads", {}) == 0
    assert _value(metrics, "forebay_replicas_ready", MODEL) is None
