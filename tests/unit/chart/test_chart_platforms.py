"""What clusters differ in: families of addresses, users of pods, certificates, proxies, priorities, versions. Needs helm."""

import re
from typing import Any

import pytest

from chart_operator import installation_of, operator_objects, pools
from chart_rendering import (
    CHART,
    LOCAL,
    RELEASE,
    Json,
    containers,
    find,
    helm,
    objects,
    operator_settings,
    pod_templates,
    render,
)
from forebay_operator.manifests.pool import template
from metric_families import of_gateway, of_operator, of_server
from metrics_page import an_hour

OPENSHIFT = "openshift"


def _all_pods(value_set: str, *arguments: str) -> dict[str, Json]:
    """Of the chart, and those that the operator makes as the chart tells it."""
    made = objects(render(value_set, *arguments))
    return dict(pod_templates(made)) | dict(pod_templates(operator_objects(installation_of(made))))


def _variables(container: Json) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", [])}


def _files(pod: Json, container: Json) -> dict[str, Json]:
    """What is mounted, by its path."""
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    return {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}


def test_nothing_listens_by_one_family_only() -> None:
    arguments = [
        argument for pod in _all_pods("default").values() for each in containers(pod) for argument in each.get("args", [])
    ]

    assert len([each for each in arguments if re.match(r"--[a-z]+-address=any(:\d+)?$", each)]) == 3 + 3 * len(pools())
    assert [each for each in arguments if "0.0.0.0" in each or "127.0.0.1" in each] == []


def test_services_have_addresses_as_the_cluster_does_it_by_default_and_of_both_families_if_that_is_wanted() -> None:
    families = {"ipFamilyPolicy", "ipFamilies"}
    usual = [each["spec"] for each in objects(render()) if each["kind"] == "Service"]
    said = ["--set=ipFamilyPolicy=PreferDualStack", "--set=ipFamilies={IPv6,IPv4}"]
    both = [each["spec"] for each in objects(render("default", *said)) if each["kind"] == "Service"]

    assert len(usual) == len(both) == 2
    assert [spec for spec in usual if families & spec.keys()] == []
    assert {(spec["ipFamilyPolicy"], *spec["ipFamilies"]) for spec in both} == {("PreferDualStack", "IPv6", "IPv4")}


def test_every_pod_runs_as_the_images_user_by_default() -> None:
    for name, pod in _all_pods("default").items():
        said = pod["spec"]["securityContext"]
        assert (said["runAsUser"], said["runAsGroup"], said["fsGroup"]) == (10001, 10001, 10001), name


def test_openshift_chooses_the_user_of_every_pod() -> None:
    for name, pod in _all_pods(OPENSHIFT).items():
        said = pod["spec"]["securityContext"]
        assert said["runAsNonRoot"] is True, name
        assert {"runAsUser", "runAsGroup", "fsGroup"}.isdisjoint(said), name


def test_secrets_can_be_read_by_whatever_user_the_cluster_chooses() -> None:
    """With no group of volumes they belong to root, and nobody else is in the pod."""
    for value_set, mode in (("default", 0o440), (OPENSHIFT, 0o444)):
        spec = find(objects(render(value_set)), "Deployment", "forebay-operator")["spec"]["template"]["spec"]
        modes = {each["secret"]["defaultMode"] for each in spec["volumes"] if "defaultMode" in each.get("secret", {})}
        assert modes == {mode}


def test_a_large_number_of_a_user_is_not_rounded() -> None:
    said = ["--set=securityContext.runAsUser=1000650001", "--set=securityContext.fsGroup=null"]

    for name, pod in _all_pods("default", *said).items():
        context = pod["spec"]["securityContext"]
        assert (context["runAsUser"], context.get("fsGroup")) == (1000650001, None), name


@pytest.mark.parametrize("value_set", ["everything", OPENSHIFT])
def test_certificate_authorities_reach_all_that_reaches_out_but_not_what_opens_a_source(value_set: str) -> None:
    seen: dict[str, bool] = {}
    for pod in _all_pods(value_set).values():
        for container in containers(pod):
            file = _variables(container).get("SSL_CERT_FILE", "")
            folder = str(file).rpartition("/")[0]
            mounted = _files(pod, container)
            assert (folder in mounted) == bool(file), container["name"]
            if file:
                (source,) = [mounted[folder][kind] for kind in ("configMap", "secret") if kind in mounted[folder]]
                assert "company-ca" in source.values()
                assert [f"{folder}/{item['path']}" for item in source["items"]] == [file]
            seen[container["name"]] = bool(file)

    reach_out = {"operator", "server", "fetch", "find", "publish"}
    assert {name for name, has in seen.items() if has} == reach_out
    assert seen.keys() - reach_out == {"gateway", "store", "bucket", "convert"}


def test_proxies_are_told_to_all_that_reaches_out_with_what_is_reached_directly() -> None:
    for pod in _all_pods("everything").values():
        for container in containers(pod):
            told = _variables(container)
            if container["name"] in ("operator", "server", "fetch", "find", "publish"):
                assert told["HTTP_PROXY"] == "http://proxy.example.com:3128"
                direct = str(told["NO_PROXY"]).split(",")
                assert {".svc", ".cluster.local", "$(KUBERNETES_SERVICE_HOST)", "::1", "10.0.0.10"} <= set(direct)
            else:
                assert not {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} & told.keys(), container["name"]


def test_nothing_is_said_of_proxies_and_certificates_where_there_are_none() -> None:
    for pod in _all_pods("default").values():
        for container in containers(pod):
            assert not {"HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "AWS_CA_BUNDLE"} & _variables(container).keys()


def test_a_variable_of_ones_own_counts_before_that_of_the_installation_and_is_there_once() -> None:
    for pod in _all_pods("everything").values():
        for container in containers(pod):
            names = [each["name"] for each in container.get("env", [])]
            assert len(names) == len(set(names)), container["name"]
            told = _variables(container)
            if container["name"] in ("operator", "fetch"):
                assert told["HTTPS_PROXY"] == {"secretKeyRef": {"name": "proxy", "key": "url"}}
            if container["name"] == "server":
                assert told["ZONE"] == {"configMapKeyRef": {"name": "place", "key": "zone"}}
                assert told["AWS_CA_BUNDLE"] == "/etc/ssl/certs/ca-certificates.crt"


def test_more_volumes_are_where_they_are_wanted_and_none_where_a_source_is_opened() -> None:
    found: dict[str, str] = {}
    for pod in _all_pods("everything").values():
        for container in containers(pod):
            paths = [path for path, volume in _files(pod, container).items() if volume["name"] == "more"]
            found[container["name"]] = ", ".join(paths)

    assert {name: path for name, path in found.items() if path} == {
        **{"operator": "/etc/more", "gateway": "/more", "server": "/etc/more"},
        **dict.fromkeys(("fetch", "find", "publish"), "/sources"),
    }


def test_pods_are_made_for_linux_nodes() -> None:
    selectors = {name: pod["spec"].get("nodeSelector", {}) for name, pod in _all_pods("default").items()}

    assert {name for name, selector in selectors.items() if selector.get("kubernetes.io/os") != "linux"} == set()


def _classes(*said: str) -> tuple[dict[str, int], set[str]]:
    """Values of the PriorityClasses by name, and the names that pods have."""
    made = objects(render("default", "--set=priorityClasses.create=true", *said))
    classes = {each["metadata"]["name"]: int(each["value"]) for each in made if each["kind"] == "PriorityClass"}
    pods = dict(pod_templates(made)) | dict(pod_templates(operator_objects(installation_of(made))))
    return classes, {pod["spec"]["priorityClassName"] for pod in pods.values()}


def test_other_priorities_are_other_classes_because_none_can_be_changed() -> None:
    usual, used = _classes()
    others, used_then = _classes("--set=priorityClasses.serving=500", "--set=priorityClasses.conversions=7")

    assert usual == {"forebay-serving-10000": 10000, "forebay-conversions-minus-100": -100}
    assert others == {"forebay-serving-500": 500, "forebay-conversions-7": 7}
    assert (used, used_then) == (set(usual), set(others))


def test_classes_that_are_there_are_named_and_none_is_made() -> None:
    said = [f"--set={who}.priorityClassName=mine" for who in ("operator", "gateway", "servers", "conversions")]
    made = objects(render("default", *said))
    pods = dict(pod_templates(made)) | dict(pod_templates(operator_objects(installation_of(made))))

    assert "PriorityClass" not in {each["kind"] for each in made}
    assert {pod["spec"].get("priorityClassName") for name, pod in pods.items() if name != "forebay-store"} == {"mine"}


def test_gateways_are_replaced_as_it_is_said() -> None:
    usual = find(objects(render()), "Deployment", "forebay-gateway")["spec"]
    said = find(objects(render("everything")), "Deployment", "forebay-gateway")["spec"]

    assert usual["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert (usual["minReadySeconds"], usual["template"]["spec"]["terminationGracePeriodSeconds"]) == (5, 80)
    assert said["strategy"]["rollingUpdate"] == {"maxSurge": "50%", "maxUnavailable": 1}
    assert (said["minReadySeconds"], said["template"]["spec"]["terminationGracePeriodSeconds"]) == (10, 150)


def test_how_pods_are_spread_can_be_said() -> None:
    spec = find(objects(render("everything")), "Deployment", "forebay-operator")["spec"]["template"]["spec"]

    assert [each["whenUnsatisfiable"] for each in spec["topologySpreadConstraints"]] == ["DoNotSchedule"]


def test_servers_get_credentials_that_cannot_write_where_there_are_any() -> None:
    made = objects(render("gpu-production"))
    installation = installation_of(made)
    (job,) = [pod for name, pod in pod_templates(operator_objects(installation)) if name.startswith("forebay-convert")]
    secrets = {each["name"]: [one["secretRef"]["name"] for one in each.get("envFrom", [])] for each in containers(job)}

    for pool in pools():
        (server,) = template(pool, installation).content["spec"]["containers"]
        assert server["envFrom"] == [{"secretRef": {"name": "forebay-store-read"}}]
    assert secrets == {"fetch": ["mine"], "find": ["forebay-store-read"], "convert": [], "publish": ["forebay-store"]}
    assert operator_settings(made)["store"]["hasReadingCredentials"] is True
    operator = find(made, "Deployment", "forebay-operator")["spec"]["template"]
    (container,) = operator["spec"]["containers"]
    assert "--store-reading-credentials=/etc/forebay/store-read" in container["args"]
    assert _files(operator, container)["/etc/forebay/store-read"]["secret"]["secretName"] == "s3-reading-credentials"


def test_the_right_to_make_that_secret_is_given_only_where_it_is_made() -> None:
    def named(value_set: str) -> list[str]:
        rules = find(objects(render(value_set)), "ClusterRole", "forebay-operator")["rules"]
        return [name for rule in rules if rule["resources"] == ["secrets"] for name in rule["resourceNames"]]

    assert named("default") == ["forebay-repository-token", "forebay-store"]
    assert named("gpu-production") == ["forebay-repository-token", "forebay-store", "forebay-store-read"]


def _endpoints(value_set: str) -> dict[str, Json]:
    made = [each for each in objects(render(value_set)) if each["kind"] == "PodMonitor"]
    return {each["metadata"]["name"]: each["spec"]["podMetricsEndpoints"][0] for each in made}


def test_where_a_servers_metrics_come_from_is_not_the_servers_to_say() -> None:
    """Servers run in anyone's namespace, and whoever may run pods there can play one."""
    honoured = {name: each["honorLabels"] for name, each in _endpoints("gpu-production").items()}

    assert honoured == {"forebay-operator": True, "forebay-gateway": True, "forebay-server": False}


def test_of_servers_the_metrics_are_kept_that_servers_have_and_none_that_alerts_go_by() -> None:
    (rule,) = _endpoints("gpu-production")["forebay-server"]["metricRelabelings"]
    kept = re.compile(rule["regex"])
    servers = {name for each in of_server() for name in each.series}
    others = {name for each in (*of_operator(an_hour()), *of_gateway()) for name in each.series}

    assert (rule["action"], rule["sourceLabels"]) == ("keep", ["__name__"])
    assert {name for name in servers if not kept.fullmatch(name)} == set()
    assert {name for name in others if kept.fullmatch(name)} == set()


def test_rules_of_ones_own_come_after_those() -> None:
    endpoints = _endpoints("everything")

    for each in endpoints.values():
        assert each["relabelings"] == [{"targetLabel": "cluster", "replacement": "one"}]
        assert each["metricRelabelings"][-1]["action"] == "drop"
        assert each["scrapeTimeout"] == "10s"
    assert [each["action"] for each in endpoints["forebay-server"]["metricRelabelings"]] == ["keep", "drop"]


def test_a_kubernetes_that_is_too_old_is_refused() -> None:
    """ValidatingAdmissionPolicies and a pause before the end of a container are there from 1.30 on."""
    old = helm("template", RELEASE, str(CHART), LOCAL, "--kube-version=1.29.14", check=False)

    assert "requires kubeVersion: >=1.30.0-0" in old.stderr
    assert helm("template", RELEASE, str(CHART), LOCAL, "--kube-version=1.30.0").stdout
