"""What the operator's rights would let a thief of its token do, and the chart's admission policies do not."""

import copy
import os
from collections.abc import Callable, Iterator

import pytest

from chart_cluster import forget_operator_access, operator_access
from chart_operator import installation_of, operator_objects
from chart_rendering import LOCAL, Json, objects, render
from cluster_api import Api, ApiError, eventually
from cluster_control_plane import Access, ControlPlane

SPACE = f"admission-{os.getpid()}"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
OURS = {"app.kubernetes.io/managed-by": "forebay", "app.kubernetes.io/part-of": "forebay"}
HARMLESS: Json = {"name": "a", "image": "b", "securityContext": {"allowPrivilegeEscalation": False}}
SECONDS = 60.0
PATHS = {
    "Deployment": f"/apis/apps/v1/namespaces/{SPACE}/deployments",
    "Job": f"/apis/batch/v1/namespaces/{SPACE}/jobs",
    "PodDisruptionBudget": f"/apis/policy/v1/namespaces/{SPACE}/poddisruptionbudgets",
    "Pod": f"/api/v1/namespaces/{SPACE}/pods",
    "Secret": f"/api/v1/namespaces/{SPACE}/secrets",
    "Service": f"/api/v1/namespaces/{SPACE}/services",
}


@pytest.fixture(scope="module")
def thief(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Who has the token of the operator's account; the policies are in force."""
    access = control_plane.access
    access.api.create("/api/v1/namespaces", {"metadata": {"name": SPACE}})
    eventually(lambda: access.api.find(f"/api/v1/namespaces/{SPACE}/serviceaccounts/default"), "no account", SECONDS)
    try:
        made = Api.of_kubeconfig(operator_access(access, SPACE, tmp_path_factory.mktemp("thief")).kubeconfig)
        _make_what_is_foreign(access)
        _wait_until_all_are_in_force(made)
        yield made
    finally:
        forget_operator_access(access, SPACE)
        access.api.delete(f"/api/v1/namespaces/{SPACE}")


def _make_what_is_foreign(access: Access) -> None:
    template = {"metadata": {"labels": {"app": "bank"}}, "spec": _spec()}
    selector = {"matchLabels": {"app": "bank"}}
    for kind, labels, spec in (
        ("Pod", {"app": "bank"}, _spec()),
        ("Pod", OURS, _spec()),
        ("Service", {}, {"type": "ExternalName", "externalName": "bank.example.com"}),
        ("Deployment", {}, {"replicas": 0, "selector": selector, "template": template}),
        ("PodDisruptionBudget", {}, {"maxUnavailable": 0, "selector": selector}),
        ("Job", {}, {"suspend": True, "template": {"spec": {**_spec(), "restartPolicy": "Never"}}}),
    ):
        name = "server" if labels is OURS else "bank"
        access.api.create(PATHS[kind], {"metadata": {"name": name, "labels": labels}, "spec": spec})
    access.api.create(PATHS["Secret"], {"metadata": {"name": "forebay-store"}, "data": {"bank": "eA=="}})


def _spec() -> Json:
    return {"containers": [{"name": "bank", "image": "bank:1"}]}


def _wait_until_all_are_in_force(thief: Api) -> None:
    """By one request that each refuses."""
    for refused in (
        lambda: _merge(thief, "Pod", "bank", {"metadata": {"annotations": {DELETION_COST: "1"}}}),
        lambda: _merge(thief, "Service", "bank", {"metadata": {"labels": OURS}}),
        lambda: _make(thief, _changed("Deployment", hostNetwork=True)),
        lambda: _make(thief, _token_of("default")),
        lambda: _make(thief, _service(type="ClusterIP", externalName=None)),
    ):
        eventually(refused, "a policy is not in force", SECONDS)


def _merge(thief: Api, kind: str, name: str, change: Json) -> str:
    """What is objected to a change that would be made; empty: nothing."""
    path, merge = f"{PATHS[kind]}/{name}?dryRun=All", "application/strategic-merge-patch+json"
    return _objection(lambda: thief.call("PATCH", path, change, merge))


def _make(thief: Api, manifest: Json) -> str:
    path = f"{PATHS[manifest['kind']]}/{manifest['metadata']['name']}?dryRun=All&fieldManager=forebay-operator&force=true"
    return _objection(lambda: thief.call("PATCH", path, manifest, "application/apply-patch+yaml"))


def _begin(thief: Api, job: Json) -> str:
    return _objection(lambda: thief.create(f"{PATHS['Job']}?dryRun=All", job))


def _objection(ask: Callable[[], object]) -> str:
    try:
        ask()
    except ApiError as error:
        return error.message
    return ""


def _own() -> list[Json]:
    """Whatever the operator makes."""
    return operator_objects(installation_of(objects(render("default", LOCAL))), SPACE)


def _changed(kind: str, **spec: object) -> Json:
    """One of those, with one harmless container and something else in the spec of its pods."""
    made = copy.deepcopy(next(each for each in _own() if each["kind"] == kind))
    made["spec"]["template"]["spec"] |= {"containers": [HARMLESS], "initContainers": [], "volumes": [], **spec}
    return made


def _service(**spec: object) -> Json:
    """A Service that the operator makes, but for something in its spec; without what is None."""
    made = copy.deepcopy(next(each for each in _own() if each["kind"] == "Service"))
    made["spec"] = {key: value for key, value in (made["spec"] | spec).items() if value is not None}
    return made


def _token_of(account: str) -> Json:
    """A Secret into which Kubernetes would write the token of an account."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "forebay-repository-token",
            "labels": OURS,
            "annotations": {"kubernetes.io/service-account.name": account},
        },
        "type": "kubernetes.io/service-account-token",
    }


def test_whatever_the_operator_makes_is_let_through(thief: Api) -> None:
    objections = [_make(thief, each) for each in _own() if each["kind"] not in ("Job", "Secret")]
    objections += [_make(thief, each) for each in _own() if each["metadata"]["name"] == "forebay-repository-token"]
    jobs = [each for each in _own() if each["kind"] == "Job"]
    objections += [_begin(thief, job) for job in jobs]

    assert objections == [""] * (len(_own()) - 1), "all but the Secret whose name another has"


def test_the_deletion_cost_of_a_server_may_be_written_and_nothing_else_of_a_pod(thief: Api) -> None:
    cost = {"metadata": {"annotations": {DELETION_COST: "-1000"}}}
    image = {"spec": {"containers": [{"name": "bank", "image": "evil:1"}]}}
    others: list[Json] = [
        {"metadata": {"annotations": {"bank": "x"}}},
        {"metadata": {"labels": {"app": "bank"}}},
        {"metadata": {"finalizers": ["bank.example.com/x"]}},
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "bank", "uid": "1"}]}},
        {"spec": {"activeDeadlineSeconds": 1}},
    ]

    assert _merge(thief, "Pod", "server", cost) == ""
    assert "changes pods of Forebay's servers only" in _merge(thief, "Pod", "bank", cost)
    assert "changes pods of Forebay's servers only" in _merge(thief, "Pod", "bank", image)
    for change in [image, *others]:
        assert "pod-deletion-cost of a pod and nothing else" in _merge(thief, "Pod", "server", change), change


@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget", "Service"])
def test_what_somebody_else_made_cannot_be_changed_even_by_saying_that_it_is_ours(thief: Api, kind: str) -> None:
    for change in ({"metadata": {"annotations": {"bank": "x"}}}, {"metadata": {"labels": OURS}}):
        assert "ValidatingAdmissionPolicy" in _merge(thief, kind, "bank", change), change


@pytest.mark.parametrize("kind", ["Deployment", "Job", "PodDisruptionBudget"])
def test_what_somebody_else_made_cannot_be_deleted(thief: Api, kind: str) -> None:
    said = _objection(lambda: thief.call("DELETE", f"{PATHS[kind]}/bank?dryRun=All"))

    assert "did not make this object" in said


def test_nothing_is_made_without_saying_whose_it_is(thief: Api) -> None:
    for made in _own():
        if made["kind"] in ("Deployment", "PodDisruptionBudget", "Service"):
            made["metadata"]["labels"] = {}
            assert "has the label app.kubernetes.io/managed-by=forebay" in _make(thief, made), made["kind"]


def test_pods_without_privileges_are_asked_for(thief: Api) -> None:
    assert _make(thief, _changed("Deployment")) == ""


@pytest.mark.parametrize(
    "spec",
    [
        {"automountServiceAccountToken": True},
        {"hostNetwork": True},
        {"hostPID": True},
        {"hostIPC": True},
        {"volumes": [{"name": "node", "hostPath": {"path": "/"}}]},
        {"volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]},
        {"containers": [{"name": "a", "image": "b"}]},
        {"initContainers": [{"name": "c", "image": "b", "securityContext": {"allowPrivilegeEscalation": True}}]},
        {
            "containers": [
                {**HARMLESS, "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"add": ["KILL"]}}}
            ]
        },
        {"containers": [{**HARMLESS, "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": False}}]},
        {"containers": [{**HARMLESS, "ports": [{"containerPort": 80, "hostPort": 80}]}]},
        {"securityContext": {"runAsUser": 0}},
        {"serviceAccountName": "forebay-store"},
    ],
    ids=str,
)
def test_pods_with_privileges_or_a_token_are_not_asked_for(thief: Api, spec: Json) -> None:
    deployment = _changed("Deployment", **spec)
    job = _changed("Job", **spec)

    assert "that Forebay's operator makes" in _make(thief, deployment)
    assert "that Forebay's operator makes" in _begin(thief, job)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "ClusterIP", "externalName": None},
        {"type": "LoadBalancer", "externalName": None},
        {"type": "NodePort", "externalName": None},
        {"externalName": "bank.example.com"},
        {"externalIPs": ["192.0.2.1"]},
        {"selector": {"app": "bank"}},
    ],
    ids=str,
)
def test_services_that_are_no_name_of_the_gateway_are_not_made(thief: Api, spec: Json) -> None:
    assert "are names of the gateway and nothing else" in _make(thief, _service(**spec))


def test_a_secret_that_somebody_else_made_is_left_alone(thief: Api) -> None:
    assert "did not make this object" in _merge(thief, "Secret", "forebay-store", {"metadata": {"labels": OURS}})


def test_no_secret_brings_the_token_of_an_account(thief: Api) -> None:
    assert "are of the type Opaque" in _make(thief, _token_of("default"))


@pytest.mark.usefixtures("thief")
def test_the_policies_are_for_this_account_only(control_plane: ControlPlane) -> None:
    """Another user may do all of that: only its own rights count."""
    assert _merge(control_plane.access.api, "Pod", "bank", {"metadata": {"labels": {"bank": "x"}}}) == ""


@pytest.mark.usefixtures("thief")
def test_kubernetes_finds_nothing_odd_in_what_the_policies_ask(control_plane: ControlPlane) -> None:
    def statuses() -> list[Json]:
        found = control_plane.access.api.all("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies")
        return [each.get("status", {}) for each in found if each["metadata"]["name"].endswith(SPACE)]

    eventually(lambda: all("typeChecking" in each for each in statuses()), lambda: f"{statuses()}", SECONDS)
    assert [each["typeChecking"] for each in statuses()] == [{}] * 5
