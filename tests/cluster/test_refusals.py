"""What a cluster refuses: the summary names cause and remedy, and correcting it is enough."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_api import ApiError, Json, eventually
from cluster_control_plane import Access
from cluster_kubelet import Kubelet
from cluster_site import Site, site

_POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
_BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
_KEEPER = "keeper"
"""A model that is stopped: the pool stays for it, and each test need not wait for a server that starts."""


@pytest.fixture(scope="module")
def here(cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A namespace with an operator that acts."""
    with site(cluster, f"refusals-{os.getpid()}", tmp_path_factory.mktemp("refusals")) as made:
        made.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 300})
        made.deploy(_KEEPER, "s3://models/keeper.onnx", stopped=True)
        yield made


@pytest.fixture(scope="module")
def kubelet(here: Site) -> Kubelet:
    return here.start_kubelet()


@pytest.fixture(autouse=True)
def clean(here: Site, kubelet: Kubelet) -> Iterator[None]:
    """Each test begins without models and quotas, however the last one ended, and with pods that run."""
    yield
    kubelet.trouble = lambda _: None
    for each in here.all("resourcequotas"):
        here.api.delete(here.path("resourcequotas", each["metadata"]["name"]))
    for each in here.all("modeldeployments"):
        if each["metadata"]["name"] != _KEEPER:
            here.api.delete(here.path("modeldeployments", each["metadata"]["name"]))
    eventually(lambda: not here.all("jobs") and len(here.all("services")) < 2, "objects of the last test stay")


def _quota(here: Site, hard: Json) -> str:
    path = here.path("resourcequotas")
    here.api.create(path, {"metadata": {"name": "tight"}, "spec": {"hard": hard}})
    eventually(lambda: here.api.get(f"{path}/tight").get("status", {}).get("hard"), "the quota is not in force")
    return f"{path}/tight"


def test_a_quota_of_pods_that_is_used_up_is_named_and_raising_it_is_enough(here: Site) -> None:
    quota = _quota(here, {"pods": "0"})
    here.deploy("scaling", here.model_file())
    summary = here.wait_for_summary("scaling", "quota")
    assert "raise the resourcequota" in summary.lower()
    here.api.delete(quota)
    here.wait_until_ready("scaling")


def test_a_quota_of_jobs_that_is_used_up_is_named_and_raising_it_is_enough(here: Site) -> None:
    quota = _quota(here, {"count/jobs.batch": "0"})
    here.deploy("scaling", here.model_file(7.0))
    summary = here.wait_for_summary("scaling", "exceeded quota")
    assert "raise the resourcequota of the namespace" in summary.lower()
    here.api.delete(quota)
    here.wait_for_summary("scaling", "Ready: 1 of 1")


def test_a_service_of_somebody_else_is_left_alone_and_named(here: Site) -> None:
    foreign = {"metadata": {"name": "taken"}, "spec": {"selector": {"app": "other"}, "ports": [{"port": 80}]}}
    here.api.create(here.path("services"), foreign)
    here.deploy("taken", here.model_file())
    summary = here.wait_for_summary("taken", "already exists")
    assert "rename the modeldeployment, or delete what has its name" in summary.lower()
    service = here.api.get(here.path("services", "taken"))
    assert service["spec"]["selector"] == {"app": "other"}
    assert "ownerReferences" not in service["metadata"]
    here.api.delete(here.path("services", "taken"))

    def ours() -> bool:
        found = here.api.find(here.path("services", "taken")) or {}
        return found.get("spec", {}).get("type") == "ExternalName" and "But" not in here.summary("taken")

    eventually(ours, lambda: f"the name is free and not taken: {here.summary('taken')}")


def test_an_admission_policy_that_refuses_is_named_and_lifting_it_is_enough(here: Site) -> None:
    name = f"no-jobs-{os.getpid()}"
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "jobs need a cost centre"}],
        },
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": here.namespace}}
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}},
    }
    here.api.create(_POLICIES, policy)
    here.api.create(_BINDINGS, binding)
    try:
        probe = {
            "metadata": {"name": "probe"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}},
        }
        eventually(lambda: _is_refused(here, probe), "the policy does not bite")
        here.deploy("scaling", here.model_file(9.0))
        summary = here.wait_for_summary("scaling", "jobs need a cost centre")
        assert "the API server refused Job" in summary
    finally:
        here.api.delete(f"{_BINDINGS}/{name}")
        here.api.delete(f"{_POLICIES}/{name}")
    here.wait_for_summary("scaling", "Ready: 1 of 1")


def test_a_webhook_that_does_not_answer_is_named_and_taking_it_away_is_enough(here: Site) -> None:
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    name = f"away-{os.getpid()}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}
    webhook = {
        "name": "away.forebay.dev",
        # Nothing listens there.
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": here.namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    here.api.create(path, {"metadata": {"name": name}, "webhooks": [webhook]})
    try:
        probe = {"metadata": {"name": "probe"}, "spec": {"type": "ExternalName", "externalName": "probe.example.com"}}
        eventually(lambda: _is_refused(here, probe, "services"), "the webhook is not asked")
        here.deploy("hooked", here.model_file())
        summary = here.wait_for_summary("hooked", 'failed calling webhook "away.forebay.dev"')
        assert "see that it answers, or exempt Forebay's objects from it" in summary
    finally:
        here.api.delete(f"{path}/{name}")
    eventually(lambda: here.api.find(here.path("services", "hooked")), "the Service is not made")
    eventually(lambda: "But" not in here.summary("hooked"), lambda: f"the trouble stays: {here.summary('hooked')}")


def _is_refused(here: Site, content: Json, kind: str = "jobs") -> bool:
    try:
        here.api.create(f"{here.path(kind)}?dryRun=All", content)
    except ApiError:
        return True
    return False


def test_an_image_that_cannot_be_pulled_is_named_and_the_conversion_goes_on_once_it_can(here: Site, kubelet: Kubelet) -> None:
    def trouble(pod: Json) -> Json | None:
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] != "conversion":
            return None
        waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "forebay/convert:test"'}
        first = pod["spec"]["initContainers"][0]
        container = {"name": first["name"], "image": first["image"], "imageID": "", "ready": False, "restartCount": 0}
        return {"phase": "Pending", "initContainerStatuses": [{**container, "state": {"waiting": waiting}}]}

    kubelet.trouble = trouble
    here.deploy("scaling", here.model_file(11.0))
    summary = here.wait_for_summary("scaling", "cannot be pulled")
    assert "check its name and pull secret" in summary.lower()
    kubelet.trouble = lambda _: None
    here.wait_for_summary("scaling", "Ready: 1 of 1")


def test_a_secret_of_somebody_else_is_left_alone_and_named_and_one_of_ours_is_kept_right(
    cluster: Access, tmp_path: Path
) -> None:
    with site(cluster, f"secret-{os.getpid()}", tmp_path) as there:
        path = there.path("secrets", "forebay-repository-token")
        foreign = {"metadata": {"name": "forebay-repository-token"}, "stringData": {"password": "theirs"}}
        before = there.api.create(there.path("secrets"), foreign)
        operator = there.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 300})
        kubelet = there.start_kubelet()
        # What a kubelet mounts is not the matter here.
        kubelet.held.add("server")
        there.deploy("scaling", there.model_file())
        summary = there.wait_for_summary("scaling", 'secrets "forebay-repository-token" already exists')
        assert "rename that one, as Forebay needs the name for its own" in summary
        assert there.api.get(path) == before
        there.api.delete(path)
        made = eventually(lambda: there.api.find(path), "the name is free and not taken")
        assert set(made["data"]) == {"token"}
        kubelet.held.clear()
        there.wait_until_ready("scaling")
        ours = there.api.get(path)["data"]
        operator.stop()
        there.api.merge(path, {"data": {"token": "AAAA", "more": "AAAA"}})
        operator.start()
        eventually(lambda: there.api.get(path)["data"] == ours, "the Secret stays as somebody changed it")


def test_in_a_namespace_that_is_being_deleted_nothing_is_made_and_nothing_is_reported(cluster: Access, tmp_path: Path) -> None:
    with site(cluster, f"going-{os.getpid()}", tmp_path) as going:
        operator = going.start_operator()
        going.deploy("scaling", "s3://models/scaling.onnx")
        going.one("jobs")
        going.api.delete(f"/api/v1/namespaces/{going.namespace}")
        for kind in ("modeldeployments", "services", "pods", "jobs"):
            going.wait_until_none(kind)
        assert not operator.said("a write was refused")
