"""The chart as helm renders it. Where there is no helm, tests that need it are skipped, and say what to install."""

import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import cluster_programs
from cluster_api import PATIENCE_S

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "charts" / "forebay"
PLAIN: Final = ROOT / "charts" / "plain"
RELEASE: Final = "forebay"
NAMESPACE: Final = "forebay-system"

Json = dict[str, Any]

LOCAL: Final = "--set=images.local=true"
"""What has to be said where no registry is."""

VALUE_SETS: Final = {"default": None} | {
    path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))
}
"""Names of value sets, and their files; the first is the chart's own values, and `LOCAL`."""


def program(name: str, remedy: str) -> str:
    """The path of a program; without it the test is skipped."""
    found = cluster_programs.find(name)
    if found is None:
        pytest.skip(f"{cluster_programs.ABSENT}, {name}: {cluster_programs.REMEDY}, or {remedy}")
    return found


def helm(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run helm without any cluster."""
    path = program("helm", "put Helm 3.17 or newer on the PATH")
    environment = {**os.environ, "KUBECONFIG": os.devnull}
    return subprocess.run([path, *arguments], check=check, capture_output=True, text=True, timeout=PATIENCE_S, env=environment)


@cache
def render(value_set: str = "default", *arguments: str) -> str:
    """All of the chart's objects, as YAML."""
    file = VALUE_SETS[value_set]
    values = ["--values", str(file)] if file else [LOCAL]
    return helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *values, *arguments).stdout


def refusal(*settings: str) -> str:
    """What helm says of values that the chart refuses."""
    flags = [flag for setting in settings for flag in ("--set", setting)]
    made = helm("template", RELEASE, str(CHART), *flags, check=False)
    assert made.returncode != 0, "the chart took the values"
    return made.stderr


def objects(text: str) -> list[Json]:
    """The objects of a YAML text."""
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def find(found: list[Json], kind: str, name: str, namespace: str = "") -> Json:
    """The object of this kind and name."""
    return next(
        each
        for each in found
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
        and namespace in ("", each["metadata"].get("namespace", ""))
    )


def pod_templates(found: list[Json]) -> Iterator[tuple[str, Json]]:
    """Every pod template, with the name of what it is in."""
    for each in found:
        if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]


def containers(template: Json) -> list[Json]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def operator_settings(found: list[Json]) -> Json:
    """What the chart tells the operator."""
    settings: Json = json.loads(find(found, "ConfigMap", "forebay-operator")["data"]["operator.json"])
    return settings
