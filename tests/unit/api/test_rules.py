import re
from typing import Any

import pytest
from pydantic import ValidationError

from api_cases import ACCEPTED, REFUSED, Accepted, Refused, an_object
from forebay_operator.api import crd
from forebay_operator.api.objects import ApiModel, refused_changes
from forebay_operator.api.refusals import refusals
from forebay_operator.api.v1alpha1 import ModelDeployment

SCHEMA = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def what_is_wrong(content: dict[str, Any], before: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Fields and sentences with which our own tools refuse an object."""
    try:
        deployment = ModelDeployment.from_object(content)
    except ValidationError as error:
        return [(refusal.field, f"{refusal.message}: {refusal.remedy}") for refusal in refusals(error)]
    if before is None:
        return []
    return [(change.field, change.message) for change in refused_changes(ModelDeployment.from_object(before), deployment)]


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_is_right_is_accepted(case: Accepted) -> None:
    assert what_is_wrong(case.object, case.before) == []


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_is_wrong_is_refused_with_the_field_and_what_to_change(case: Refused) -> None:
    assert [(field, case.message in sentence) for field, sentence in what_is_wrong(case.object, case.before)] == [
        (case.field, True)
    ], what_is_wrong(case.object, case.before)


def test_every_rule_is_broken_by_a_case() -> None:
    messages = {validation["message"] for validation in validations(SCHEMA)}
    said = [f"{sentence}" for case in REFUSED for _, sentence in what_is_wrong(case.object, case.before)]

    assert {message for message in messages if not any(message in sentence for sentence in said)} == set()


def test_every_message_of_a_rule_says_what_to_do() -> None:
    messages = {validation["message"] for validation in validations(SCHEMA)}
    orders = "|".join(("add", "choose", "create", "keep", "lower", "put", "remove", "replace", "set", "use", "write"))

    assert [message for message in messages if not re.search(rf"(^|: )({orders}) ", message)] == []


def test_all_broken_rules_of_an_object_are_named_at_once() -> None:
    content = an_object(
        {"replicas": 1, "autoscaling": {"maxReplicas": 1}, "serving.provider": "cuda", "placement.device": "cpu"}
    )

    assert [field for field, _ in what_is_wrong(content, None)] == ["spec.replicas", "spec.serving.provider"]


def test_an_object_is_written_as_it_was_read() -> None:
    content = an_object({"autoscaling": {"maxReplicas": 3}, "placement.memory": "4Gi"})

    assert ModelDeployment.from_object(ModelDeployment.from_object(content).to_object()) == ModelDeployment.from_object(
        content
    )


def test_what_the_api_server_adds_to_an_object_is_read() -> None:
    content = an_object()
    content["metadata"] |= {
        "uid": "5e1b",
        "generation": 3,
        "resourceVersion": "77",
        "creationTimestamp": "2026-01-31T12:00:00Z",
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    content["status"] = {"observedGeneration": 3, "summary": "Ready"}

    deployment = ModelDeployment.from_object(content)

    assert deployment.metadata.generation == 3
    assert deployment.metadata.to_object()["creationTimestamp"] == "2026-01-31T12:00:00Z"


def validations(schema: dict[str, Any]) -> list[dict[str, str]]:
    """Every rule in a schema."""
    found: list[dict[str, str]] = list(schema.get("x-kubernetes-validations", []))
    children = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return found + [rule for child in children if isinstance(child, dict) for rule in validations(child)]


def test_models_are_values() -> None:
    assert all(model.model_config.get("frozen") for model in ApiModel.__subclasses__())
