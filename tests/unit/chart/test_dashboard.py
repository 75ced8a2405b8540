"""The dashboard and the alerts of the documentation ask for metrics that there are, by labels that they have."""

import json
import re
from collections.abc import Iterator
from itertools import chain

import pytest

from chart_rendering import CHART, ROOT, objects, render
from metric_families import Shown, of_gateway, of_operator, of_server
from metrics_page import PAGE, an_hour, page

_OF_THE_SCRAPE = {"namespace", "pod", "container", "instance", "job"}
"""Labels that Prometheus gives to whatever it scrapes."""
_SELECTED = re.compile(r"([a-z_]+)\{([^}]*)\}")
_GROUPED = re.compile(r"by \(([^)]*)\) \((.*)")


@pytest.fixture(scope="module")
def series() -> dict[str, Shown]:
    """Every name that can be asked for."""
    return {name: each for each in chain(of_operator(an_hour()), of_gateway(), of_server()) for name in each.series}


def _asked_by_the_dashboard() -> Iterator[str]:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))


def _asked_by_rules() -> Iterator[str]:
    """Whether all namespaces are served, or some."""
    for arguments in ((), ("--set=namespaces={team-a,team-b}",)):
        made = objects(render("gpu-production", *arguments))
        (rule,) = [each for each in made if each["kind"] == "PrometheusRule"]
        yield from (each["expr"] for group in rule["spec"]["groups"] for each in group["rules"])


def _asked_by_the_documentation() -> Iterator[str]:
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    monitoring = text.partition("## Monitoring")[2].partition("\n## ")[0]
    yield from re.findall(r"`([^`]*[<>][^`]*)`", monitoring.replace("\\|", "|"))


def _names(asked: str) -> set[str]:
    return set(re.findall(r"\b(?:nv|forebay)_[a-z_]+", asked))


def test_nothing_is_asked_for_that_there_is_not(series: dict[str, Shown]) -> None:
    asked = [*_asked_by_the_dashboard(), *_asked_by_rules(), *_asked_by_the_documentation()]

    assert len(asked) > 30
    assert {name for each in asked for name in _names(each)} - series.keys() == set()


def test_a_metric_is_selected_and_grouped_by_labels_that_it_has(series: dict[str, Shown]) -> None:
    for asked in (*_asked_by_the_dashboard(), *_asked_by_rules()):
        grouped = _GROUPED.search(asked)
        wanted = {label.strip() for label in grouped[1].split(",")} - {"le"} if grouped else set()
        for name in _names(asked):
            assert wanted <= {*series[name].labels, *_OF_THE_SCRAPE}, f"{name}: {asked}"
        for name, selected in _SELECTED.findall(asked):
            labels = set(re.findall(r"([a-z_]+)(?:=|!)", selected))
            known = series[name].labels if name in series else ()
            assert labels <= {*known, *_OF_THE_SCRAPE}, f"{name}: {asked}"


def test_the_documentation_tells_of_every_metric_that_alerts_ask_for() -> None:
    told = _names((ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8").partition("## Monitoring")[2])

    assert {name for asked in _asked_by_rules() for name in _names(asked)} - told == set()


def test_every_process_is_on_the_dashboard() -> None:
    shown = {name for asked in _asked_by_the_dashboard() for name in _names(asked)}

    for begins in ("forebay_operator_", "forebay_gateway_", "nv_inference_"):
        assert [name for name in shown if name.startswith(begins)], begins


def test_the_page_of_the_documentation_is_that_of_the_processes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python tests/support/metrics_page.py"
