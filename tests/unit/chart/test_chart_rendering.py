"""What helm makes of the chart. Skipped where there is no helm."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from chart_rendering import (
    CHART,
    LOCAL,
    NAMESPACE,
    RELEASE,
    VALUE_SETS,
    Json,
    containers,
    find,
    helm,
    objects,
    operator_settings,
    pod_templates,
    render,
)
from forebay_operator.api.loading import load_text
from forebay_operator.settings import OperatorSettings


@pytest.fixture(scope="module", params=VALUE_SETS)
def rendered(request: pytest.FixtureRequest) -> list[Json]:
    return objects(render(request.param))


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_helm_finds_nothing_to_object_to(value_set: str) -> None:
    file = VALUE_SETS[value_set]

    made = helm("lint", "--strict", "--quiet", str(CHART), *(["--values", str(file)] if file else [LOCAL]), check=False)

    assert (made.returncode, made.stdout.strip()) == (0, ""), made.stderr


def test_a_registry_goes_before_whatever_names_none_of_its_own() -> None:
    images = {
        "images.registry": "registry.example.com/ml",
        "images.operator": "ghcr.io/forebay/operator:1",
        "images.runtime": "runtime:2",
        "store.server.image": "versity/versitygw:v1.8.0",
    }
    made = objects(render("default", *(f"--set={name}={image}" for name, image in images.items())))
    used = {container["image"] for _, template in pod_templates(made) for container in containers(template)}

    assert {image.partition(":")[0] for image in used} == {
        "ghcr.io/forebay/operator",
        "registry.example.com/ml/forebay/gateway",
        "registry.example.com/ml/versity/versitygw",
    }
    assert operator_settings(made)["servers"]["cpuImage"] == "registry.example.com/ml/runtime:2"


def test_the_store_of_ones_own_can_be_reached_without_a_secret_too() -> None:
    made = objects(render("default", "--set=store.uri=s3://bucket"))
    egress = find(made, "NetworkPolicy", "forebay-operator")["spec"]["egress"]

    assert {"ports": [{"port": 443}]} in egress


def test_network_policies_know_where_names_the_api_server_and_proxies_are() -> None:
    made = objects(render("gpu-production"))
    for name in ("forebay-operator", "forebay-gateway"):
        egress = find(made, "NetworkPolicy", name)["spec"]["egress"]
        assert {"ports": [{"port": 5353, "protocol": "UDP"}, {"port": 5353, "protocol": "TCP"}]} in egress
        assert {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80}]} in egress
        assert [rule["to"] for rule in egress if {"port": 6443} in rule["ports"]] == [[{"ipBlock": {"cidr": "10.0.0.1/32"}}]]


def test_servers_are_protected_where_the_operator_is_told_the_namespaces() -> None:
    made = objects(render("one-namespace"))

    for namespace in ("team-a", "team-b"):
        assert find(made, "NetworkPolicy", "forebay-servers", namespace)
        assert find(made, "NetworkPolicy", "forebay-conversions", namespace)


def test_alerts_ask_for_metrics_that_there_are() -> None:
    rule = find(objects(render("gpu-production")), "PrometheusRule", "forebay")
    listed = (CHART.parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")

    alerts = [alert for group in rule["spec"]["groups"] for alert in group["rules"]]
    asked = {metric for alert in alerts for metric in re.findall(r"forebay_\w+", alert["expr"])}
    assert {metric for metric in asked if f"`{metric}`" not in listed} == set()
    assert [alert["alert"] for alert in alerts if not alert["annotations"]["summary"].endswith(".")] == []


def test_that_an_operator_acts_is_missed_also_where_there_is_none() -> None:
    """`max` of no metrics is nothing, and nothing is not below one."""
    (group,) = find(objects(render("gpu-production")), "PrometheusRule", "forebay")["spec"]["groups"]

    (alert,) = [each for each in group["rules"] if each["alert"] == "ForebayNoOperatorActs"]
    assert re.fullmatch(r"\(max\(forebay_operator_leads\{.*\}\) or vector\(0\)\) < 1", alert["expr"])


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_each_policy_of_admission_is_for_the_operators_account_and_is_bound(value_set: str) -> None:
    made = objects(render(value_set))
    (deployment,) = [each for each in made if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("-operator")]
    account = f"system:serviceaccount:{NAMESPACE}:{deployment['spec']['template']['spec']['serviceAccountName']}"

    policies = [each for each in made if each["kind"] == "ValidatingAdmissionPolicy"]
    bound = [each["spec"]["policyName"] for each in made if each["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert sorted(bound) == sorted(each["metadata"]["name"] for each in policies)
    assert {each["spec"]["matchConditions"][0]["expression"] for each in policies} == {
        f"request.userInfo.username == '{account}'"
    }


def test_there_are_no_policies_of_admission_where_they_are_not_wanted() -> None:
    assert "ValidatingAdmissionPolicy" not in render("default", "--set=admissionPolicy.enabled=false")


@pytest.mark.parametrize("component", ["operator", "gateway"])
def test_annotations_of_ones_own_say_how_pods_are_scraped(component: str) -> None:
    said = ["--set=monitoring.annotations=true", f"--set-string={component}.podAnnotations.prometheus\\.io/scrape=false"]
    text = render("default", *said)
    annotations = find(objects(text), "Deployment", f"forebay-{component}")["spec"]["template"]["metadata"]["annotations"]

    assert annotations["prometheus.io/scrape"] == "false"
    assert annotations["prometheus.io/port"] == "8080"
    assert text.count("prometheus.io/scrape: ") == len(("operator", "gateway")), "each once"


def test_every_container_is_bounded_and_confined(rendered: list[Json]) -> None:
    for name, template in pod_templates(rendered):
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
        for container in template["spec"]["containers"]:
            assert container.keys() >= {"startupProbe", "readinessProbe", "livenessProbe"}, name


def test_no_volume_grows_without_bounds(rendered: list[Json]) -> None:
    for name, template in pod_templates(rendered):
        volumes = template["spec"]["volumes"]
        assert [volume for volume in volumes if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]] == [], name


def test_everything_is_found_by_the_recommended_labels(rendered: list[Json]) -> None:
    for each in rendered:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE, each["metadata"]["name"]
        assert labels["app.kubernetes.io/name"].startswith("forebay"), each["metadata"]["name"]
        assert labels["app.kubernetes.io/part-of"] == "forebay", each["metadata"]["name"]


def test_the_longest_name_of_a_release_makes_no_name_that_is_too_long() -> None:
    release = "r" * 53
    made = objects(
        helm("template", release, str(CHART), f"--values={VALUE_SETS['everything']}", "--set=fullnameOverride=").stdout
    )

    names = [each["metadata"]["name"] for each in made]
    labels = [value for each in made for value in each["metadata"]["labels"].values()]
    assert max(map(len, [*names, *labels])) <= 63


def test_a_new_version_of_the_chart_alone_restarts_nothing(rendered: list[Json]) -> None:
    for _, template in pod_templates(rendered):
        assert template["metadata"]["labels"].keys().isdisjoint({"helm.sh/chart", "app.kubernetes.io/version"})


def test_nothing_of_the_chart_looks_like_the_operators_own(rendered: list[Json]) -> None:
    """The operator watches what says that forebay manages it."""
    for each in rendered:
        assert each["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "Helm", each["metadata"]["name"]


def test_whatever_selects_pods_finds_some(rendered: list[Json]) -> None:
    pods = [template["metadata"]["labels"] for _, template in pod_templates(rendered)]
    made_by_the_operator = ("server", "conversion")

    selectors = [selector for each in rendered for selector in _selectors(each)]

    assert selectors
    for selector in selectors:
        if selector.get("app.kubernetes.io/component") not in made_by_the_operator:
            assert any(selector.items() <= labels.items() for labels in pods), selector


def _selectors(each: Json) -> list[dict[str, str]]:
    spec: Json = each.get("spec") or {}
    match each["kind"]:
        case "Service":
            return [spec["selector"]]
        case "Deployment" | "PodDisruptionBudget" | "PodMonitor":
            return [spec["selector"]["matchLabels"]]
        case "NetworkPolicy":
            return [spec["podSelector"]["matchLabels"]]
        case _:
            return []


def test_ports_are_called_by_names_that_pods_have(rendered: list[Json]) -> None:
    pods = {
        template["metadata"]["labels"]["app.kubernetes.io/component"]: {
            port["name"] for container in template["spec"]["containers"] for port in container["ports"]
        }
        for _, template in pod_templates(rendered)
    } | {"server": {"http", "grpc", "metrics"}}

    for each in rendered:
        component = each["metadata"]["labels"].get("app.kubernetes.io/component", "")
        assert _port_names(each) <= pods.get(component, set()), each["metadata"]["name"]


def _port_names(each: Json) -> set[str]:
    spec: Json = each.get("spec") or {}
    match each["kind"]:
        case "Service":
            return {port["targetPort"] for port in spec["ports"]}
        case "PodMonitor":
            return {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]}
        case "NetworkPolicy":
            ports = [port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]]
            return {port for port in ports if isinstance(port, str)}
        case _:
            return set()


def test_roles_have_no_wildcards_and_secrets_only_by_name(rendered: list[Json]) -> None:
    rules = [rule for each in rendered if each["kind"] in ("Role", "ClusterRole") for rule in each["rules"]]

    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], rule
        if "secrets" in rule["resources"]:
            assert {"forebay-repository-token", "forebay-store", "forebay-store-read"} >= set(rule["resourceNames"])
            assert set(rule["verbs"]) == {"create", "patch"}


def test_who_scales_gateways_himself_is_not_overruled_by_an_upgrade() -> None:
    def said(*arguments: str) -> Json:
        spec: Json = find(objects(render("default", *arguments)), "Deployment", "forebay-gateway")["spec"]
        return spec

    assert said()["replicas"] == 2
    assert "replicas" not in said("--set=gateway.replicas=null")


def test_a_gateway_may_take_longer_to_end_than_it_drains() -> None:
    made = objects(render("default", "--set=gateway.preStopSeconds=7", "--set=gateway.drainSeconds=80"))
    spec = find(made, "Deployment", "forebay-gateway")["spec"]["template"]["spec"]

    assert spec["terminationGracePeriodSeconds"] > 7 + 80
    assert "--drain-seconds=80" in spec["containers"][0]["args"]


def test_a_changed_setting_restarts_the_operator_only() -> None:
    before, after = (objects(render("default", f"--set=operator.warmServers={count}")) for count in (0, 1))
    templates = [dict(pod_templates(made)) for made in (before, after)]

    changed = [name for name in templates[0] if templates[0][name] != templates[1][name]]

    assert changed == ["forebay-operator"]


def test_the_operator_is_told_where_everything_is() -> None:
    told = operator_settings(objects(render()))

    assert told["store"] == {"uri": "s3://forebay", "claim": "", "hasCredentials": True, "hasReadingCredentials": False}
    assert told["gatewayHost"] == f"forebay-gateway.{NAMESPACE}.svc.cluster.local"
    assert told["logLevel"] == "info"
    assert told["servers"]["cpuImage"].startswith("forebay/runtime:")
    assert told["devices"]["cpu"] == {"servers": 8, "memory": "2Gi"}


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_the_operator_understands_what_it_is_told(value_set: str, tmp_path: Path) -> None:
    (text,) = [
        each["data"]["operator.json"]
        for each in objects(render(value_set))
        if each["kind"] == "ConfigMap" and "operator.json" in each["data"]
    ]
    (tmp_path / "operator.json").write_text(text)

    told = OperatorSettings.read(tmp_path / "operator.json")

    assert told.installation().servers.cpu_image
    assert told.declared_devices()
    assert told.step_settings().server_start_timeout_s == 300


def test_operator_and_gateways_hold_requests_equally_long(tmp_path: Path) -> None:
    made = objects(render("default", "--set=gateway.holdSeconds=20"))
    arguments = find(made, "Deployment", "forebay-gateway")["spec"]["template"]["spec"]["containers"][0]["args"]

    assert "--hold-seconds=20" in arguments
    assert _read(made, tmp_path).step_settings().hold_seconds == 20


def test_every_setting_of_the_operator_is_set_by_the_chart() -> None:
    told = operator_settings(objects(render("everything")))

    # Who leads is told by the Lease that the chart makes: a second release in the namespace is refused for its sake.
    assert sorted(_unset(OperatorSettings, told)) == ["leadership.name"]


def _unset(model: type[BaseModel], told: Json, path: str = "") -> Iterator[str]:
    """Fields that nothing is said of."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in told:
            yield path + key
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _unset(field.annotation, told[key], f"{path}{key}.")


def test_what_is_said_of_pods_reaches_them(tmp_path: Path) -> None:
    made = _read(objects(render("everything")), tmp_path).installation()

    for pods in (made.servers, made.conversions):
        assert pods.service_account
        assert pods.priority_class == "forebay-serving-10000" or pods is made.conversions
        assert all((pods.node_selector, pods.tolerations, pods.environment, pods.pod_labels, pods.pod_annotations))
    assert made.servers.max_unavailable == "25%"
    assert made.servers.limits["cpu"] == "2", "a number is a quantity too"
    assert made.conversions.images == {"onnx": "registry.example.com/convert-onnx:1.0"}


def _read(made: list[Json], folder: Path) -> OperatorSettings:
    path = folder / "operator.json"
    path.write_text(json.dumps(operator_settings(made)))
    return OperatorSettings.read(path)


def test_images_come_from_a_registry_of_ones_own_and_keep_their_digests() -> None:
    made = objects(render("gpu-production"))
    told = operator_settings(made)

    image = find(made, "Deployment", "forebay-operator")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert re.fullmatch(r"registry\.example\.com/ml/forebay/operator@sha256:[0-9a-f]{64}", image)
    assert told["servers"]["gpuImage"] == "registry.example.com/ml/forebay/runtime-gpu:0.1.0-cuda13"
    assert told["pullSecrets"] == ["registry"]
    assert told["servers"]["priorityClass"] == "forebay-serving-10000"
    assert (told["store"]["uri"], told["store"]["claim"]) == ("s3://models/forebay", "")


def test_a_store_of_ones_own_takes_the_place_of_the_charts() -> None:
    names = {(each["kind"], each["metadata"]["name"]) for each in objects(render("gpu-production"))}

    assert {name for _, name in names if name.startswith("forebay-store")} == set()


def test_the_random_secrets_are_not_made_where_others_are_named() -> None:
    assert [each["metadata"]["name"] for each in objects(render()) if each["kind"] == "Secret"] == [
        "forebay-keys",
        "forebay-store-credentials",
    ]
    assert [each for each in objects(render("shared-volume")) if each["kind"] == "Secret"] == []


def test_the_credentials_that_it_makes_open_the_store_that_it_brings() -> None:
    secret = find(objects(render()), "Secret", "forebay-store-credentials")["data"]
    values = {key: base64.b64decode(value).decode() for key, value in secret.items()}

    assert values["AWS_ENDPOINT_URL"] == f"http://forebay-store.{NAMESPACE}.svc.cluster.local:7070"
    assert len(values["AWS_SECRET_ACCESS_KEY"]) == 40
    assert "" not in (values["AWS_ACCESS_KEY_ID"], values["AWS_REGION"])


def test_a_shared_volume_is_mounted_where_the_uri_points() -> None:
    spec = find(objects(render("shared-volume")), "Deployment", "serving-operator")["spec"]["template"]["spec"]

    assert {"name": "store", "mountPath": "/store"} in spec["containers"][0]["volumeMounts"]
    assert {"name": "store", "persistentVolumeClaim": {"claimName": "forebay-store"}} in spec["volumes"]


def test_the_definition_outlives_the_release() -> None:
    definition = find(objects(render()), "CustomResourceDefinition", "modeldeployments.forebay.dev")

    assert definition["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_request_in_the_notes_works() -> None:
    """The model is taken, and its answer is the one that they promise."""
    onnxruntime = pytest.importorskip("onnxruntime")
    made = helm("install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client", "--hide-secret", LOCAL)
    notes = made.stdout.partition("NOTES:")[2]
    manifest = notes.partition("<<'END'\n")[2].partition("\nEND\n")[0]
    request: Json = json.loads(notes.partition("--data '")[2].partition("'")[0])

    (found,) = load_text(manifest).objects
    uri: str = yaml.safe_load(manifest)["spec"]["model"]["source"]["uri"]
    session = onnxruntime.InferenceSession(base64.b64decode(uri.partition(",")[2]), providers=["CPUExecutionProvider"])
    (asked,) = request["inputs"]
    answer: Any = session.run(None, {asked["name"]: np.array(asked["data"], np.float32).reshape(asked["shape"])})

    assert found.metadata.name == "double"
    assert answer[0].tolist() == [[41.0, 42.0]]
