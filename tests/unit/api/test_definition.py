import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from forebay_operator.api import crd, reference
from forebay_operator.api.__main__ import main
from forebay_operator.api.schema import structural_schema
from forebay_operator.api.v1alpha1 import ModelDeployment

ROOT = Path(__file__).parents[3]

# What an API server keeps of a schema; anything else it refuses, or drops without a word.
KNOWN = {
    "description", "type", "format", "enum", "default", "required", "properties", "items", "additionalProperties", "anyOf",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties", "pattern", "x-kubernetes-validations", "x-kubernetes-int-or-string",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip


def every_node(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from every_node(child, f"{path}.{name}")
    if "items" in schema:
        yield from every_node(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from every_node(schema["additionalProperties"], f"{path}{{}}")


SCHEMA = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
NODES = dict(every_node(SCHEMA))
OURS = {path: node for path, node in NODES.items() if path.startswith((".spec", ".status"))}


def test_the_committed_files_are_what_the_models_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(ROOT / "crds"), str(ROOT / "docs"), "--check"]) == 0, capsys.readouterr().err


def test_a_stale_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path)]) == 0
    (tmp_path / crd.FILE_NAME).write_text("kind: Other\n")

    assert main([str(tmp_path), str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == f"{tmp_path / crd.FILE_NAME} is stale: run `make crds` and commit it\n"


def test_the_definition_is_small_enough_for_an_annotation() -> None:
    assert len(crd.rendered().encode()) < crd.MAX_BYTES


def test_the_file_holds_the_definition_without_aliases() -> None:
    assert yaml.safe_load(crd.rendered()) == crd.definition()
    assert not re.search(r"[&*]id\d", crd.rendered())


def test_only_what_an_api_server_keeps_is_in_the_schema() -> None:
    assert {path: set(node) - KNOWN for path, node in NODES.items() if set(node) - KNOWN} == {}


def test_every_node_has_one_type() -> None:
    untyped = [path for path, node in NODES.items() if not isinstance(node.get("type"), str)]

    assert [path for path in untyped if "x-kubernetes-int-or-string" not in NODES[path]] == []


def test_every_field_is_described_in_a_sentence() -> None:
    fields = {f"{path}.{name}": child for path, node in OURS.items() for name, child in node.get("properties", {}).items()}

    assert [path for path, field in fields.items() if not re.fullmatch(r"[A-Z0-9].*\.", field.get("description", ""))] == []


@pytest.mark.parametrize(
    ("kind", "bound"),
    [("string", "maxLength"), ("array", "maxItems"), ("integer", "maximum"), ("integer", "minimum"), ("number", "minimum")],
)
def test_everything_is_bounded(kind: str, bound: str) -> None:
    free = [path for path, node in OURS.items() if node.get("type") == kind and bound not in node]

    assert [path for path in free if "enum" not in OURS[path] and OURS[path].get("format") != "date-time"] == []


def test_maps_are_bounded() -> None:
    assert [path for path, node in OURS.items() if "additionalProperties" in node and "maxProperties" not in node] == []


def test_every_list_says_how_it_is_merged() -> None:
    lists = {path: node for path, node in OURS.items() if node["type" if "type" in node else "anyOf"] == "array"}

    assert [path for path, node in lists.items() if "x-kubernetes-list-type" not in node] == []
    keyed = {path: node for path, node in lists.items() if node["x-kubernetes-list-type"] == "map"}
    assert [
        path for path, node in keyed.items() if not set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"])
    ] == []


def test_the_default_of_an_object_has_the_defaults_of_its_fields() -> None:
    """A rule may look at them, and API servers do not apply inner defaults when they check an outer one."""
    for path, node in OURS.items():
        if isinstance(node.get("default"), dict):
            inner = {name: child["default"] for name, child in node["properties"].items() if "default" in child}
            assert node["default"] == inner, path


def test_a_status_has_no_defaults() -> None:
    """What an API server adds to a status that was applied would look like a change made by hand."""
    assert [path for path, node in OURS.items() if path.startswith(".status") and "default" in node] == []


def test_every_rule_points_at_a_field_that_is_there() -> None:
    pointed = {
        f"{path}{rule['fieldPath']}"
        for path, node in NODES.items()
        for rule in node.get("x-kubernetes-validations", [])
        if "fieldPath" in rule
    }

    assert pointed - set(NODES) == set()


def test_scaling_and_columns_point_at_fields_that_are_there() -> None:
    version = crd.definition()["spec"]["versions"][0]
    paths = [
        *version["subresources"]["scale"].values(),
        *(column["jsonPath"] for column in version["additionalPrinterColumns"]),
    ]
    ours = [path.replace("[?(@.type=='Ready')]", "[]") for path in paths if not path.startswith(".metadata")]

    assert set(ours) - set(NODES) == set()
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        "READY", "WANTED", "REPLICAS", "QUEUE", "AGE", "REVISION", "REASON", "SUMMARY",
    ]  # fmt: skip
    # kubectl prints the columns of `--output=wide` after the others, wherever they stand here: so they stand last.
    assert [column.get("priority", 0) for column in version["additionalPrinterColumns"]] == [0] * 5 + [1] * 3


def test_patterns_are_what_re2_knows() -> None:
    rules = [rule["rule"] for node in NODES.values() for rule in node.get("x-kubernetes-validations", [])]

    assert [rule for rule in rules if re.search(r"\(\?[=!<]|\\", rule)] == []


def test_the_page_names_every_field() -> None:
    page = reference.rendered()

    assert [
        path for path in OURS if f"`{path.rpartition('.')[2].rstrip('[]{}')}`" not in page and path not in (".spec", ".status")
    ] == []


class Either(BaseModel):
    field: int | bool


class Endless(BaseModel):
    child: "Endless | None" = None


@pytest.mark.parametrize("model", [Either, Endless])
def test_a_model_that_no_structural_schema_can_say_is_refused(model: type[BaseModel]) -> None:
    with pytest.raises(TypeError):
        structural_schema(model)


def test_the_schema_of_an_object_has_the_names_that_users_write() -> None:
    assert "maxReplicas" in structural_schema(ModelDeployment)["properties"]["spec"]["properties"]["autoscaling"]["properties"]
