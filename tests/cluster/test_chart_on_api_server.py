"""Every object of the chart, with each of its value sets, before a real API server."""

import contextlib
from collections.abc import Iterator

import pytest

from chart_cluster import OPERATOR, Ask, allowed, create, granted, kubectl, operator_roles, text_of
from chart_operator import installation_of, operator_objects
from chart_rendering import NAMESPACE, PLAIN, VALUE_SETS, Json, objects, pod_templates, render
from cluster_api import ApiError, eventually
from cluster_control_plane import Access, ControlPlane

PROMETHEUS_OPERATOR = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PodMonitor, plural: podmonitors}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [selector, podMetricsEndpoints]
              properties:
                selector: {type: object, properties: {matchLabels: {type: object, additionalProperties: {type: string}}}}
                namespaceSelector:
                  type: object
                  properties: {any: {type: boolean}, matchNames: {type: array, items: {type: string}}}
                podMetricsEndpoints:
                  type: array
                  items:
                    type: object
                    properties:
                      port: {type: string}
                      path: {type: string}
                      interval: {type: string}
                      scrapeTimeout: {type: string}
                      honorLabels: {type: boolean}
                      relabelings: &rules
                        type: array
                        items:
                          type: object
                          properties:
                            sourceLabels: {type: array, items: {type: string}}
                            targetLabel: {type: string}
                            replacement: {type: string}
                            regex: {type: string}
                            action: {type: string}
                      metricRelabelings: *rules
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: prometheusrules.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PrometheusRule, plural: prometheusrules}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                groups:
                  type: array
                  items:
                    type: object
                    required: [name]
                    properties:
                      name: {type: string}
                      rules:
                        type: array
                        items:
                          type: object
                          required: [expr]
                          properties:
                            alert: {type: string}
                            expr: {type: string}
                            for: {type: string}
                            labels: {type: object, additionalProperties: {type: string}}
                            annotations: {type: object, additionalProperties: {type: string}}
"""
"""The fields of the Prometheus operator's kinds that the chart may use."""

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
ACCOUNT = f"{NAMESPACE}:{OPERATOR}"
GATEWAY = f"{NAMESPACE}:forebay-gateway"


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Iterator[Access]:
    """With the namespaces of the value sets, and the rights that the chart gives."""
    access = control_plane.access
    spaces = [_named("Namespace", name, labels=RESTRICTED) for name in (NAMESPACE, "team-a", "team-b")]
    rights = [each for each in objects(render()) if each["apiVersion"].startswith("rbac.")]
    few = [
        each
        for each in objects(render("one-namespace", "--set=fullnameOverride=few"))
        if each["apiVersion"].startswith("rbac.")
    ]
    made = [*spaces, *objects(PROMETHEUS_OPERATOR), *rights, *few]
    create(access, made)
    kubectl(access, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    kubectl(access, "wait", "--for=create", "--timeout=60s", "serviceaccount/default", f"--namespace={NAMESPACE}")
    yield access
    with contextlib.suppress(ApiError, OSError):
        kubectl(access, "delete", "--wait=false", "-f", "-", given=text_of(made[::-1]))


def _named(kind: str, name: str, api_version: str = "v1", **metadata: object) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}


@pytest.mark.parametrize("value_set", VALUE_SETS)
@pytest.mark.parametrize("way", ["--server-side", "--server-side=false"])
def test_an_api_server_takes_every_object_without_a_warning(server: Access, value_set: str, way: str) -> None:
    text = render(value_set)

    flags = [way, "--force-conflicts"] if way == "--server-side" else [way]
    made = kubectl(server, "apply", *flags, "--dry-run=server", "--validate=strict", "-f", "-", given=text)

    assert len(made.stdout.splitlines()) == len(objects(text))
    # Some are there already, made another way.
    assert [line for line in made.stderr.splitlines() if "missing the kubectl.kubernetes.io" not in line] == []


def test_pods_of_chart_and_operator_are_admitted_without_a_warning_where_pod_security_is_restricted(server: Access) -> None:
    pods: list[Json] = []
    for value_set in VALUE_SETS:
        made = objects(render(value_set))
        for name, template in pod_templates([*made, *operator_objects(installation_of(made))]):
            # Accounts and classes are not there; neither changes what pod security says.
            left_out = ("priorityClassName", "serviceAccountName", "runtimeClassName")
            spec = {key: value for key, value in template["spec"].items() if key not in left_out}
            pods.append({**_named("Pod", f"{value_set}-{name}"[:63], namespace=NAMESPACE), "spec": spec})

    shown = kubectl(server, "create", "--dry-run=server", "--validate=strict", "-f", "-", given=text_of(pods))

    assert len(shown.stdout.splitlines()) == len(pods)
    assert shown.stderr == ""


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_an_api_server_takes_whatever_the_operator_makes_without_a_warning(server: Access, value_set: str) -> None:
    made = operator_objects(installation_of(objects(render(value_set))), "team-a")

    text = text_of(made)
    flags = ["--server-side", "--dry-run=server", "--validate=strict"]
    shown = kubectl(server, "apply", *flags, "-f", "-", given=text)

    assert len(shown.stdout.splitlines()) == len(made)
    assert shown.stderr == ""


def test_the_plain_manifests_are_taken_too(server: Access) -> None:
    flags = ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"]

    made = kubectl(server, "apply", *flags, "-k", str(PLAIN))

    namespace = 1
    assert len(made.stdout.splitlines()) == namespace + len(objects((PLAIN / "forebay.yaml").read_text(encoding="utf-8")))
    assert made.stderr == ""


NEEDED = [
    Ask("list", "modeldeployments.forebay.dev", "team-a"),
    Ask("watch", "modeldeployments.forebay.dev", "team-a"),
    Ask("patch", "modeldeployments.forebay.dev/status", "team-a", "digits"),
    *(Ask(verb, "deployments.apps", "team-a") for verb in ("list", "watch", "create", "patch", "delete")),
    *(Ask(verb, "jobs.batch", "team-a") for verb in ("list", "watch", "create", "delete")),
    *(Ask(verb, "pods", "team-a") for verb in ("list", "watch", "patch")),
    *(Ask(verb, "poddisruptionbudgets.policy", "team-a") for verb in ("list", "watch", "create", "patch", "delete")),
    *(Ask(verb, "services", "team-a") for verb in ("list", "watch", "create", "patch")),
    *(Ask(verb, "events", "team-a") for verb in ("list", "watch")),
    Ask("create", "events.events.k8s.io", "team-a"),
    *(Ask(verb, "secrets", "team-a", "forebay-repository-token") for verb in ("create", "patch")),
    *(Ask(verb, "secrets", "team-a", "forebay-store") for verb in ("create", "patch")),
    *(Ask(verb, "nodes") for verb in ("list", "watch")),
    *(Ask(verb, "leases.coordination.k8s.io", NAMESPACE, "forebay-operator") for verb in ("get", "update")),
    Ask("create", "leases.coordination.k8s.io", NAMESPACE),
]

OUT_OF_REACH = [
    *(Ask(verb, "secrets", "team-a", "forebay-store") for verb in ("get", "list", "watch", "delete", "update")),
    # Only where it is told of credentials that cannot write.
    *(Ask(verb, "secrets", "team-a", "forebay-store-read") for verb in ("create", "patch")),
    Ask("patch", "secrets", "team-a", "other"),
    Ask("create", "secrets", NAMESPACE, "other"),
    Ask("list", "secrets", NAMESPACE),
    *(Ask(verb, "modeldeployments.forebay.dev", "team-a", "digits") for verb in ("create", "patch", "update", "delete")),
    *(Ask(verb, "pods", "team-a") for verb in ("create", "delete")),
    Ask("create", "pods/exec", "team-a"),
    Ask("get", "pods/log", "team-a"),
    Ask("delete", "services", "team-a"),
    Ask("update", "leases.coordination.k8s.io", NAMESPACE, "other"),
    Ask("update", "leases.coordination.k8s.io", "team-a", "forebay-operator"),
    Ask("patch", "nodes", name="node"),
    Ask("create", "serviceaccounts/token", NAMESPACE, "forebay-operator"),
    *(Ask(verb, "clusterroles.rbac.authorization.k8s.io") for verb in ("create", "bind", "escalate")),
    Ask("patch", "customresourcedefinitions.apiextensions.k8s.io", name="modeldeployments.forebay.dev"),
    Ask("impersonate", "users"),
]


def test_the_operator_may_do_what_it_needs_and_nothing_that_would_be_worth_stealing(server: Access) -> None:
    assert allowed(server.api, ACCOUNT, NEEDED + OUT_OF_REACH) == NEEDED


def test_the_operator_is_granted_nothing_but_that() -> None:
    named = {"secrets", "leases.coordination.k8s.io"}

    assert set(granted(operator_roles())) == {(ask.verb, ask.what, ask.name if ask.what in named else "") for ask in NEEDED}


def test_the_gateway_reads_model_deployments_and_nothing_else(server: Access) -> None:
    needed = [Ask(verb, "modeldeployments.forebay.dev", "team-a") for verb in ("list", "watch")]
    others = [Ask("list", each, "team-a") for each in ("secrets", "pods", "configmaps", "services", "events")]
    writing = [Ask("patch", "modeldeployments.forebay.dev/status", "team-a", "digits"), Ask("list", "nodes")]

    assert allowed(server.api, GATEWAY, [*needed, *others, *writing]) == needed


def test_rights_in_some_namespaces_end_there(server: Access) -> None:
    inside = [Ask("create", "deployments.apps", "team-b"), Ask("list", "pods", NAMESPACE), Ask("watch", "nodes")]
    outside = [Ask("create", "deployments.apps", "default"), Ask("list", "modeldeployments.forebay.dev", NAMESPACE)]

    assert allowed(server.api, f"{NAMESPACE}:few-operator", [*inside, *outside]) == inside


def test_who_may_edit_a_namespace_may_edit_its_models(server: Access) -> None:
    create(server, [_binding("view"), _binding("edit")])
    looking = [Ask(verb, "modeldeployments.forebay.dev", "team-a") for verb in ("get", "list", "watch")]
    changing = [Ask(verb, "modeldeployments.forebay.dev", "team-a") for verb in ("create", "patch", "update", "delete")]
    scaling = [Ask("patch", "modeldeployments.forebay.dev/scale", "team-a")]
    status = [Ask("patch", "modeldeployments.forebay.dev/status", "team-a")]
    everything = [*looking, *changing, *scaling, *status]

    eventually(lambda: allowed(server.api, "team-a:view", looking) == looking, "the cluster's role view is as before")
    eventually(lambda: allowed(server.api, "team-a:edit", scaling) == scaling, "the cluster's role edit is as before")
    assert allowed(server.api, "team-a:view", everything) == looking
    assert allowed(server.api, "team-a:edit", everything) == [*looking, *changing, *scaling]


def _binding(role: str) -> Json:
    return {
        **_named("RoleBinding", role, "rbac.authorization.k8s.io/v1", namespace="team-a"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": role, "namespace": "team-a"}],
    }
