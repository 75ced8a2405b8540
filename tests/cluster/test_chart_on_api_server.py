"""Every object of the chart, with each of its value sets, before a real API server."""

import json
from collections.abc import Iterator

import pytest
import yaml

from chart_api_server import ApiServer, Ask, running
from chart_rendering import NAMESPACE, PLAIN, VALUE_SETS, Json, find, objects, pod_templates, render

PODMONITOR = """
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
                      honorLabels: {type: boolean}
"""
"""The fields of the Prometheus operator's kind that the chart may use."""

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
OPERATOR = f"{NAMESPACE}:forebay-operator"
GATEWAY = f"{NAMESPACE}:forebay-gateway"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as made:
        made.create(*(_named("Namespace", name, labels=RESTRICTED) for name in (NAMESPACE, "team-a", "team-b")))
        definition = find(objects(render()), "CustomResourceDefinition", "modeldeployments.forebay.dev")
        made.create(definition, *objects(PODMONITOR))
        made.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        yield made


def _named(kind: str, name: str, api_version: str = "v1", **metadata: object) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}


@pytest.mark.parametrize("value_set", VALUE_SETS)
@pytest.mark.parametrize("way", ["--server-side", "--server-side=false"])
def test_an_api_server_takes_every_object_without_a_warning(server: ApiServer, value_set: str, way: str) -> None:
    text = render(value_set)

    flags = [way, "--force-conflicts"] if way == "--server-side" else [way]
    made = server.kubectl("apply", *flags, "--dry-run=server", "--validate=strict", "-f", "-", given=text)

    assert len(made.stdout.splitlines()) == len(objects(text))
    assert [line for line in made.stderr.splitlines() if "missing the kubectl.kubernetes.io" not in line] == []


def test_its_pods_are_admitted_where_pod_security_is_restricted(server: ApiServer) -> None:
    pods: list[Json] = []
    for value_set in VALUE_SETS:
        for name, template in pod_templates(objects(render(value_set))):
            # Accounts and classes are not there; neither changes what pod security says.
            spec = {
                key: value for key, value in template["spec"].items() if key not in ("priorityClassName", "serviceAccountName")
            }
            pods.append({**_named("Pod", f"{value_set}-{name}", namespace=NAMESPACE), "spec": spec})
    server.kubectl(
        "apply", "--server-side", "-f", "-", given=yaml.safe_dump(_named("ServiceAccount", "default", namespace=NAMESPACE))
    )

    made = server.kubectl("create", "--dry-run=server", "-f", "-", given=yaml.safe_dump_all(pods))

    assert len(made.stdout.splitlines()) == len(pods)


def test_the_plain_manifests_are_taken_too(server: ApiServer) -> None:
    made = server.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-k", str(PLAIN)
    )

    # Owned by helm's name in this cluster: the definition was created as the chart has it.
    assert len(made.stdout.splitlines()) == len(objects((PLAIN / "forebay.yaml").read_text(encoding="utf-8"))) + 1
    assert made.stderr == ""


@pytest.fixture(scope="module")
def rights(server: ApiServer) -> ApiServer:
    """The API server with the chart's roles, which hold in all namespaces."""
    given = [each for each in objects(render()) if each["apiVersion"].startswith("rbac.")]
    server.create(*given)
    return server


NEEDED = [
    Ask("list", "modeldeployments.forebay.dev", "team-a"),
    Ask("watch", "modeldeployments.forebay.dev", "team-a"),
    Ask("patch", "modeldeployments.forebay.dev/status", "team-a", "digits"),
    *(Ask(verb, "deployments.apps", "team-a") for verb in ("list", "watch", "create", "patch", "delete")),
    *(Ask(verb, "jobs.batch", "team-a") for verb in ("list", "watch", "create", "patch", "delete")),
    *(Ask(verb, "pods", "team-a") for verb in ("list", "watch", "patch")),
    *(Ask(verb, "services", "team-a") for verb in ("list", "watch", "create", "patch")),
    *(Ask(verb, "events", "team-a") for verb in ("list", "watch")),
    *(Ask(verb, "events.events.k8s.io", "team-a") for verb in ("create", "patch")),
    *(Ask(verb, "secrets", "team-a", "forebay-repository-token") for verb in ("create", "patch")),
    *(Ask(verb, "secrets", "team-a", "forebay-store") for verb in ("create", "patch")),
    *(Ask(verb, "nodes") for verb in ("list", "watch")),
    *(Ask(verb, "leases.coordination.k8s.io", NAMESPACE, "forebay-operator") for verb in ("get", "update")),
    Ask("create", "leases.coordination.k8s.io", NAMESPACE),
]

OUT_OF_REACH = [
    *(Ask(verb, "secrets", "team-a", "forebay-store") for verb in ("get", "list", "watch", "delete", "update")),
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


def test_the_operator_may_do_what_it_needs_and_nothing_that_would_be_worth_stealing(rights: ApiServer) -> None:
    allowed = rights.allowed(OPERATOR, NEEDED + OUT_OF_REACH)

    assert allowed == NEEDED


def _what(resource: str, group: str) -> str:
    kind, slash, subresource = resource.partition("/")
    return f"{kind}{'.' if group else ''}{group}{slash}{subresource}"


def test_the_operator_is_granted_nothing_but_that() -> None:
    """Read off the plain manifests, which are checked against the chart."""
    made = objects((PLAIN / "forebay.yaml").read_text(encoding="utf-8"))
    roles = [find(made, kind, "forebay-operator") for kind in ("ClusterRole", "Role")]
    granted = {
        (verb, _what(resource, group), name)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }

    named = {"secrets", "leases.coordination.k8s.io"}
    assert granted == {(ask.verb, ask.what, ask.name if ask.what in named else "") for ask in NEEDED}


def test_the_gateway_reads_model_deployments_and_nothing_else(rights: ApiServer) -> None:
    needed = [Ask(verb, "modeldeployments.forebay.dev", "team-a") for verb in ("list", "watch")]
    others = [Ask("list", each, "team-a") for each in ("secrets", "pods", "configmaps", "services", "events")]
    writing = [Ask("patch", "modeldeployments.forebay.dev/status", "team-a", "digits"), Ask("list", "nodes")]

    assert rights.allowed(GATEWAY, [*needed, *others, *writing]) == needed


def test_rights_in_some_namespaces_end_there(server: ApiServer) -> None:
    text = render("one-namespace", "--set=fullnameOverride=few")
    server.create(*(each for each in objects(text) if each["apiVersion"].startswith("rbac.")))
    inside = [Ask("create", "deployments.apps", "team-b"), Ask("list", "pods", NAMESPACE), Ask("watch", "nodes")]
    outside = [Ask("create", "deployments.apps", "default"), Ask("list", "modeldeployments.forebay.dev", NAMESPACE)]

    assert server.allowed(f"{NAMESPACE}:few-operator", [*inside, *outside]) == inside


def test_who_may_edit_a_namespace_may_edit_its_models(rights: ApiServer) -> None:
    """The cluster's own role collects them by this label; the controller that does it does not run here."""
    edit = json.loads(rights.kubectl("get", "clusterrole", "forebay-edit", "--output=json").stdout)

    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert {verb for rule in edit["rules"] for verb in rule["verbs"]} >= {"create", "patch", "delete"}
