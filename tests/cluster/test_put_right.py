"""What people change or delete by hand is put right, and whoever changed it is named."""

import os
from collections.abc import Iterator

import pytest

from cluster_api import Json, eventually
from cluster_control_plane import Access
from cluster_kubelet import Kubelet
from cluster_site import Site, site


@pytest.fixture(scope="module")
def empty(cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(cluster, f"put-right-{os.getpid()}", tmp_path_factory.mktemp("put-right")) as made:
        yield made


@pytest.fixture(scope="module")
def kubelet(empty: Site) -> Kubelet:
    return empty.start_kubelet()


@pytest.fixture(scope="module")
def here(empty: Site, kubelet: Kubelet) -> Site:
    """A namespace with a model that serves."""
    assert not kubelet.held
    empty.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 300})
    empty.deploy("scaling", empty.model_file())
    empty.wait_until_ready("scaling")
    return empty


def _edit(here: Site, path: str, patch: Json) -> None:
    here.api.merge(f"{path}?fieldManager=kubectl-edit", patch)


def test_a_pool_that_was_scaled_by_hand_has_its_size_again_and_the_hand_is_named(here: Site) -> None:
    deployment = here.one("deployments")
    path = here.path("deployments", deployment["metadata"]["name"])
    (server,) = here.all("pods")
    _edit(here, path, {"spec": {"replicas": 3}})
    eventually(lambda: here.api.get(path)["spec"]["replicas"] == 1, "the pool keeps the size that somebody gave it")
    event = eventually(lambda: here.events("ChangedByOthers"), "nobody is named")[0]
    assert "kubectl-edit changed .spec.replicas" in event["note"]
    assert event["regarding"]["kind"] == "Deployment"

    def only_the_first() -> bool:
        return [pod["metadata"]["uid"] for pod in here.all("pods")] == [server["metadata"]["uid"]]

    eventually(only_the_first, "another server went than the surplus ones")


def test_what_others_add_stays(here: Site) -> None:
    deployment = here.one("deployments")
    path = here.path("deployments", deployment["metadata"]["name"])
    _edit(here, path, {"metadata": {"labels": {"team": "a"}, "annotations": {"forebay.dev/servers": "7"}}})
    eventually(
        lambda: here.api.get(path)["metadata"]["annotations"]["forebay.dev/servers"] == "1", "an edited annotation stays"
    )
    assert here.api.get(path)["metadata"]["labels"]["team"] == "a"


def test_an_edited_service_leads_to_the_gateway_again_and_a_deleted_one_is_made_anew(here: Site) -> None:
    path = here.path("services", "scaling")
    _edit(here, path, {"spec": {"externalName": "elsewhere.example.com"}})
    gateway = "forebay-gateway.forebay-system.svc.cluster.local"
    eventually(lambda: here.api.get(path)["spec"]["externalName"] == gateway, "the Service leads elsewhere")
    here.api.delete(path)
    eventually(lambda: here.api.find(path), "the Service is not made anew")


def test_a_status_that_was_edited_says_what_is_again(here: Site) -> None:
    path = here.path("modeldeployments", "scaling")
    before = here.status("scaling")
    wrong = {"status": {"summary": "All is lost.", "traffic": None, "readyReplicas": 9}}
    here.api.call("PATCH", f"{path}/status", wrong, "application/merge-patch+json")

    def as_before() -> bool:
        return {**here.status("scaling"), "scaling": None} == {**before, "scaling": None}

    eventually(as_before, lambda: f"the status stays wrong: {here.status('scaling')}")


def test_conditions_of_others_stay_in_a_status(here: Site) -> None:
    path = here.path("modeldeployments", "scaling")
    condition = {
        "type": "example.com/Audited",
        "status": "True",
        "reason": "Looked",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    body = {
        "apiVersion": "forebay.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "scaling"},
        "status": {"conditions": [condition]},
    }
    here.api.apply(f"{path}/status", body, manager="auditor")
    # A change after which a status must be written: the foreign condition survives that.
    here.deploy("scaling", here.model_file(), replicas=2)
    here.wait_until_ready("scaling", replicas=2)
    assert "example.com/Audited" in [each["type"] for each in here.status("scaling")["conditions"]]


def test_a_deleted_deployment_is_made_anew_and_serves_again(here: Site) -> None:
    deployment = here.one("deployments")
    here.api.delete(here.path("deployments", deployment["metadata"]["name"]))

    def another() -> bool:
        found = here.all("deployments")
        return bool(found) and found[0]["metadata"]["uid"] != deployment["metadata"]["uid"]

    eventually(another, "the Deployment is not made anew")
    here.wait_until_ready("scaling", replicas=2)


def test_a_job_that_was_deleted_is_made_anew(here: Site, kubelet: Kubelet) -> None:
    eventually(lambda: not here.all("jobs"), "an earlier Job stays")
    kubelet.held.add("conversion")
    here.deploy("other", here.model_file(13.0))
    job = here.one("jobs")
    here.api.delete(here.path("jobs", job["metadata"]["name"]))

    def another() -> bool:
        return [each for each in here.all("jobs") if each["metadata"]["uid"] != job["metadata"]["uid"]] != []

    eventually(another, "the Job is not made anew")
    kubelet.held.clear()
    here.wait_until_ready("other")


def test_an_evicted_server_is_replaced_even_where_the_secret_that_it_mounts_was_deleted(here: Site) -> None:
    here.deploy("scaling", here.model_file(), replicas=1)
    here.wait_until_ready("scaling")
    here.api.delete(here.path("secrets", "forebay-repository-token"))
    before = {pod["metadata"]["uid"] for pod in here.all("pods")}
    for pod in here.all("pods"):
        name = pod["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        here.api.create(f"{here.path('pods', name)}/eviction", eviction)
    eventually(lambda: not before & {pod["metadata"]["uid"] for pod in here.all("pods")}, "an evicted pod stays")
    here.wait_until_ready("scaling")


def test_a_refresh_converts_the_source_again_and_finds_what_has_not_changed(here: Site) -> None:
    digest = here.wait_until_ready("scaling")["artifact"]["digest"]
    number = here.status("scaling")["revision"]
    annotation = {"metadata": {"annotations": {"forebay.dev/refresh": "2026-01-01"}}}
    here.api.merge(here.path("modeldeployments", "scaling"), annotation)

    def serves_anew() -> bool:
        return [share["revision"] for share in here.status("scaling").get("traffic", [])] == [number + 1]

    eventually(serves_anew, lambda: f"no new revision serves: {here.status('scaling')}")
    assert here.status("scaling")["artifact"]["digest"] == digest
    # The source has changed under the same name: that is picked up when it is asked for, and not before.
    here.model_file().write_bytes(here.model_file(17.0).read_bytes())
    annotation["metadata"]["annotations"]["forebay.dev/refresh"] = "2026-01-02"
    here.api.merge(here.path("modeldeployments", "scaling"), annotation)
    eventually(
        lambda: here.status("scaling")["artifact"]["digest"] != digest,
        lambda: f"the changed source is not picked up: {here.status('scaling')}",
        180,
    )
