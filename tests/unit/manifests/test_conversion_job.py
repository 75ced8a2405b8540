import json
from typing import Any

import pytest

from forebay_operator.domain.deployment import Source
from forebay_operator.manifests.conversion import job, limits_of
from forebay_operator.manifests.installation import ConversionSettings, StoreSettings
from forebay_operator.manifests.kinds import Json
from forebay_operator.manifests.owners import Owner
from forebay_schema.conversion import ConversionLimits, ConversionOrder
from kubernetes_builders import a_conversion_order, a_start, an_installation

WITH_CREDENTIALS = StoreSettings(uri="s3://b", has_credentials=True)


def _pod(made: Json) -> Json:
    found: Json = made["spec"]["template"]["spec"]
    return found


def _containers(made: Json) -> dict[str, Json]:
    """By name, in the order in which they run."""
    pod = _pod(made)
    return {each["name"]: each for each in (*pod["initContainers"], *pod["containers"])}


def _mounted(container: Json) -> dict[str, str]:
    """Names of volumes, and whether they can be written."""
    return {each["name"]: "read" if each.get("readOnly") else "write" for each in container["volumeMounts"]}


def _secrets(container: Json) -> list[str]:
    return [each["secretRef"]["name"] for each in container.get("envFrom", [])]


def test_a_job_is_one_attempt_that_kubernetes_does_not_repeat() -> None:
    made = job(a_start(attempt=3), a_conversion_order(), [Owner("a", "1")], an_installation())
    assert made["metadata"]["name"] == f"forebay-convert-{'c' * 16}-3"
    assert made["metadata"]["annotations"]["forebay.dev/attempt"] == "3"
    assert made["spec"]["backoffLimit"] == 0
    assert _pod(made)["restartPolicy"] == "Never"


def test_its_time_begins_when_a_node_takes_its_pod() -> None:
    made = job(a_start(), a_conversion_order(), [], an_installation())
    assert _pod(made)["activeDeadlineSeconds"] == 900
    assert "activeDeadlineSeconds" not in made["spec"]


def test_its_stages_run_one_after_the_other_and_the_last_is_the_jobs_container() -> None:
    made = job(a_start(), a_conversion_order(), [], an_installation())
    assert list(_containers(made)) == ["fetch", "find", "convert", "publish"]
    assert [each["name"] for each in _pod(made)["containers"]] == ["publish"]
    assert [each["args"][0] for each in _containers(made).values()] == list(_containers(made))


def test_a_source_whose_digest_is_known_is_looked_for_before_it_is_fetched() -> None:
    start = a_start(source=Source(uri="s3://models/m.onnx", sha256="ab" * 32))
    assert list(_containers(job(start, a_conversion_order(), [], an_installation()))) == [
        "find",
        "fetch",
        "convert",
        "publish",
    ]


def test_the_order_is_a_file_in_every_container_and_the_result_its_termination_message() -> None:
    made = job(a_start(), a_conversion_order(), [], an_installation())
    for container in _containers(made).values():
        assert ConversionOrder.from_json(_order_of(made, container)).namespace == "default"
        assert f"--result={container['terminationMessagePath']}" in container["args"]


def test_the_stage_that_opens_the_source_does_not_see_addresses_which_may_hold_secrets() -> None:
    made = job(a_start(), a_conversion_order("https://host/m.onnx?token=hunter2"), [], an_installation())
    seen = {name: "hunter2" in _order_of(made, container) for name, container in _containers(made).items()}
    assert seen == {"fetch": True, "find": True, "convert": False, "publish": True}


def _order_of(made: Json, container: Json) -> str:
    """What the container reads as its order."""
    (mount,) = [each for each in container["volumeMounts"] if each["name"].startswith("order")]
    (volume,) = [each for each in _pod(made)["volumes"] if each["name"] == mount["name"]]
    (item,) = volume["downwardAPI"]["items"]
    assert f"--order={mount['mountPath']}/{item['path']}" in container["args"]
    annotations = {f"metadata.annotations['{name}']": text for name, text in _annotations(made).items()}
    return annotations[item["fieldRef"]["fieldPath"]]


def _annotations(made: Json) -> dict[str, str]:
    found: dict[str, str] = made["spec"]["template"]["metadata"]["annotations"]
    return found


def test_each_stage_can_write_only_what_it_leaves_and_see_only_what_it_needs() -> None:
    containers = _containers(job(a_start(), a_conversion_order(), [], an_installation()))
    assert {name: _mounted(container) for name, container in containers.items()} == {
        "fetch": {"order": "read", "fetched": "write", "held": "write"},
        "find": {"order": "read", "fetched": "write"},
        "convert": {"order-without-addresses": "read", "converted": "write", "fetched": "read"},
        "publish": {"order": "read", "publishing": "write", "fetched": "read", "held": "read", "converted": "read"},
    }
    for container in containers.values():
        written = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
        environment = {each["name"]: each["value"] for each in container["env"]}
        assert {environment["HOME"], environment["TMPDIR"]} <= written


def test_a_shared_volume_is_mounted_where_the_store_is_needed_and_written_by_the_last_stage_only() -> None:
    installation = an_installation(store=StoreSettings(uri="file:///store", claim="models"))
    mounted = {
        name: _mounted(each).get("store")
        for name, each in _containers(job(a_start(), a_conversion_order(), [], installation)).items()
    }
    assert mounted == {"fetch": None, "find": "read", "convert": None, "publish": "write"}


@pytest.mark.parametrize(
    ("store", "secret", "expected"),
    [
        (StoreSettings(uri="s3://b"), None, {"fetch": [], "find": [], "convert": [], "publish": []}),
        (
            WITH_CREDENTIALS,
            "mine",
            {"fetch": ["mine"], "find": ["forebay-store"], "convert": [], "publish": ["forebay-store"]},
        ),
    ],
)
def test_credentials_are_there_only_where_they_are_needed(store: StoreSettings, secret: Any, expected: Json) -> None:
    start = a_start(source=Source(uri="s3://m/m.onnx", secret=secret))
    containers = _containers(job(start, a_conversion_order(), [], an_installation(store=store)))
    assert {name: _secrets(container) for name, container in containers.items()} == expected


def test_no_container_has_a_token_of_the_api_server_or_more_rights_than_the_restricted_standard_allows() -> None:
    made = job(a_start(), a_conversion_order(), [], an_installation(store=WITH_CREDENTIALS))
    assert _pod(made)["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in _pod(made)
    assert "serviceAccountToken" not in json.dumps(_pod(made)["volumes"])
    for container in _containers(made).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_a_conversion_that_several_models_wait_for_goes_with_the_last_of_them() -> None:
    made = job(a_start(), a_conversion_order(), [Owner("b", "2"), Owner("a", "1")], an_installation())
    references = made["metadata"]["ownerReferences"]
    assert [each["name"] for each in references] == ["a", "b"]
    assert not any(each.get("controller") for each in references)
    assert "forebay.dev/model" not in made["metadata"]["labels"]


def test_a_format_may_have_an_image_of_its_own() -> None:
    installation = an_installation(conversions=ConversionSettings(image="any", images={"sklearn": "learn"}))
    start = a_start(source=Source(uri="s3://m/m.joblib", format="sklearn"))
    assert {each["image"] for each in _containers(job(a_start(), a_conversion_order(), [], installation)).values()} == {"any"}
    assert {each["image"] for each in _containers(job(start, a_conversion_order(), [], installation)).values()} == {"learn"}


def test_a_conversion_keeps_to_less_than_its_pod_may_use_so_that_it_can_say_why_it_ends() -> None:
    limits = limits_of(ConversionSettings(image="any", seconds=600, limits={"memory": "8Gi"}))
    assert (limits.memory_bytes, limits.seconds) == (6 << 30, 540.0)
    assert limits_of(ConversionSettings(image="any", limits={})).memory_bytes == ConversionLimits().memory_bytes
