import json
from typing import Any

import pytest

from forebay_operator.manifests.covering import difference
from forebay_operator.manifests.installation import ServerSettings, StoreSettings
from forebay_operator.manifests.kinds import Json
from forebay_operator.manifests.owners import Owner
from forebay_operator.manifests.pool import deployment, pool_of, pool_text, template
from kubernetes_builders import CPU, GPU, SIMULATED, a_pool, an_installation


def _pod(made: Json) -> Json:
    spec: Json = made["spec"]["template"]["spec"]
    return spec


def _server(made: Json) -> Json:
    (container,) = _pod(made)["containers"]
    found: Json = container
    return found


def test_a_server_of_a_gpu_pool_has_one_gpu_of_that_product() -> None:
    made = deployment(template(a_pool(GPU), an_installation()), 2)
    assert made["spec"]["replicas"] == 2
    assert _pod(made)["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert _server(made)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert _server(made)["image"] == "forebay/runtime-gpu:1"
    assert "--device=gpu:0" in _server(made)["args"]
    assert f"--device-memory={GPU.memory_bytes}" in _server(made)["args"]


def test_a_server_on_the_cpu_has_the_memory_of_its_models_on_top() -> None:
    made = deployment(template(a_pool(CPU), an_installation()), 1)
    assert _server(made)["resources"]["limits"]["memory"] == "6Gi"
    assert "nodeSelector" not in _pod(made)
    assert "--device=cpu" in _server(made)["args"]


def test_a_simulated_server_has_its_memory_and_pace() -> None:
    settings = ServerSettings(cpu_image="c", gpu_image="g", simulated_pace="20ms+5ms")
    made = deployment(template(a_pool(SIMULATED), an_installation(servers=settings)), 1)
    assert f"--device=simulated:{1 << 30},pace=20ms+5ms" in _server(made)["args"]
    assert _server(made)["image"] == "c"


@pytest.mark.parametrize("device", [GPU, CPU, SIMULATED], ids=lambda device: device.kind)
def test_pods_keep_to_the_restricted_standard(device: Any) -> None:
    spec = _pod(deployment(template(a_pool(device), an_installation()), 1))
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_another_image_makes_another_deployment_and_another_size_does_not() -> None:
    first = template(a_pool(), an_installation())
    second = template(
        a_pool(), an_installation(servers=ServerSettings(cpu_image="forebay/runtime:2", gpu_image="forebay/runtime-gpu:2"))
    )
    assert first.deployment != second.deployment
    one, two = deployment(first, 1), deployment(first, 2)
    assert one["metadata"]["name"] == two["metadata"]["name"]
    assert one["spec"]["template"] == two["spec"]["template"]


def test_the_selector_of_a_deployment_finds_its_pods_and_those_of_no_other_template() -> None:
    made = deployment(template(a_pool(), an_installation()), 1)
    selector = made["spec"]["selector"]["matchLabels"]
    assert not difference(made["spec"]["template"]["metadata"]["labels"], selector)
    other = template(a_pool(), an_installation(pull_policy="Always"))
    assert difference(other.content["metadata"]["labels"], selector)


def test_the_pool_of_one_model_belongs_to_it_and_has_its_pod_template() -> None:
    changes = {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "special", "operator": "Exists"}],
        "resources": {"limits": {"memory": "8192Mi"}},
        "env": [{"name": "COLOUR", "value": "blue"}, {"name": "ORT_DISABLE_TELEMETRY", "value": "0"}],
        "labels": {"team": "a", "app.kubernetes.io/component": "theirs"},
    }
    pool = a_pool(exclusive="digits", template=json.dumps(changes))
    made = deployment(template(pool, an_installation()), 1, [Owner("digits", "uid-1")])
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["name"], owner["uid"]) == ("digits", "uid-1")
    assert _pod(made)["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4", "zone": "a"}
    assert [each["key"] for each in _pod(made)["tolerations"]] == ["nvidia.com/gpu", "special"]
    assert _server(made)["resources"]["limits"]["memory"] == "8Gi"
    environment = {each["name"]: each["value"] for each in _server(made)["env"]}
    assert environment["COLOUR"] == "blue"
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "a"
    assert labels["app.kubernetes.io/component"] == "server"


def test_the_nodes_that_the_installation_and_the_device_ask_for_are_not_a_models_to_change() -> None:
    settings = ServerSettings(cpu_image="c", gpu_image="g", node_selector={"tier": "models"})
    asked = {"nodeSelector": {"tier": "billing", "nvidia.com/gpu.product": "NVIDIA-H100", "zone": "a"}}
    pool = a_pool(GPU, exclusive="digits", template=json.dumps(asked))
    made = deployment(template(pool, an_installation(servers=settings)), 1)
    assert _pod(made)["nodeSelector"] == {"tier": "models", "nvidia.com/gpu.product": "NVIDIA-L4", "zone": "a"}


def test_the_stores_volume_or_credentials_are_there_only_where_they_are_needed() -> None:
    on_volume = an_installation(store=StoreSettings(uri="file:///store", claim="models"))
    made = deployment(template(a_pool(), on_volume), 1)
    assert {"name": "store", "mountPath": "/store", "readOnly": True} in _server(made)["volumeMounts"]
    assert "envFrom" not in _server(made)
    in_bucket = an_installation(store=StoreSettings(uri="s3://b", has_credentials=True))
    made = deployment(template(a_pool(), in_bucket), 1)
    assert _server(made)["envFrom"] == [{"secretRef": {"name": "forebay-store"}}]


@pytest.mark.parametrize("pool", [a_pool(), a_pool(CPU, exclusive="a", template='{"labels":{}}')])
def test_a_pool_is_read_back_from_its_annotation(pool: Any) -> None:
    assert pool_of(pool_text(pool)) == pool


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"namespace": "a"}', '{"device": {"colour": 1}}'])
def test_an_annotation_that_names_no_pool_is_none(text: str) -> None:
    assert pool_of(text) is None
