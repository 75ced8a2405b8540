"""Files of the chart and beside it: made anew when what they are made of changes, and in step with each other."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from chart_rendering import CHART, PLAIN, ROOT, VALUE_SETS, objects

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
KIND_CONFIG = yaml.safe_load((ROOT / "kind-config.yaml").read_text(encoding="utf-8"))


def test_the_generated_files_are_what_they_are_made_of() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "charts" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert made.returncode == 0, made.stderr


def test_chart_and_project_have_the_same_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert (chart["version"], chart["appVersion"]) == (PROJECT["version"], PROJECT["version"])


def _values(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in schema["properties"].items():
        yield f"{path}{name}", child
        if "properties" in child:
            yield from _values(child, f"{path}{name}.")


def test_every_value_is_described_and_closed_to_misspelt_ones() -> None:
    values = {path: child for path, child in _values(SCHEMA) if path != "global"}

    assert [path for path, child in values.items() if not re.fullmatch(r"(?s)[A-Z].*\.", child.get("description", ""))] == []
    assert [
        path for path, child in values.items() if "properties" in child and child.get("additionalProperties") is not False
    ] == []
    assert [path for path, child in values.items() if "properties" not in child and "default" not in child] == []


def test_the_plain_manifests_hold_no_secret_and_nothing_of_helm() -> None:
    text = (PLAIN / "forebay.yaml").read_text(encoding="utf-8")

    assert [each for each in objects(text) if each["kind"] == "Secret"] == []
    assert "helm.sh" not in text
    assert "Helm" not in text


def test_every_image_of_the_plain_manifests_is_from_the_registry_that_is_to_be_replaced() -> None:
    """One to a line: the command in kustomization.yaml replaces the first of each line."""
    lines = (PLAIN / "forebay.yaml").read_text(encoding="utf-8").splitlines()
    images = [line for line in lines if re.search(r'[iI]mage"?: ', line) and "versity/versitygw" not in line]

    assert len(images) == 5
    assert {line.count("registry.example.com/forebay/") for line in images} == {1}
    assert r"s#registry\.example\.com#$YOUR_REGISTRY#" in (PLAIN / "kustomization.yaml").read_text(encoding="utf-8")


def test_the_plain_manifests_are_in_the_namespace_that_comes_with_them() -> None:
    namespace = yaml.safe_load((PLAIN / "namespace.yaml").read_text(encoding="utf-8"))["metadata"]["name"]
    found = objects((PLAIN / "forebay.yaml").read_text(encoding="utf-8"))

    assert {each["metadata"].get("namespace", namespace) for each in found} == {namespace}


def test_the_ports_of_the_kind_cluster_lead_to_the_gateway() -> None:
    file = VALUE_SETS["kind"]
    assert file is not None
    service = yaml.safe_load(file.read_text(encoding="utf-8"))["gateway"]["service"]
    (node,) = KIND_CONFIG["nodes"]

    mapped = {mapping["hostPort"]: mapping["containerPort"] for mapping in node["extraPortMappings"]}

    assert mapped == {8000: service["httpNodePort"], 8001: service["grpcNodePort"]}
    assert {mapping["listenAddress"] for mapping in node["extraPortMappings"]} == {"127.0.0.1"}


def test_the_kind_cluster_is_described_by_fields_that_kind_knows() -> None:
    """By kind's v1alpha4 configuration: unknown ones are refused by it."""
    (node,) = KIND_CONFIG["nodes"]

    assert KIND_CONFIG.keys() == {"kind", "apiVersion", "name", "nodes"}
    assert (KIND_CONFIG["kind"], KIND_CONFIG["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert node.keys() <= {"role", "image", "labels", "extraMounts", "extraPortMappings", "kubeadmConfigPatches"}
    assert {key for mapping in node["extraPortMappings"] for key in mapping} <= {
        "containerPort", "hostPort", "listenAddress", "protocol",
    }  # fmt: skip
