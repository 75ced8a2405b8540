"""What people change or delete by hand is put right, and whoever changed it is named."""

import os
from collections.abc import Iterator

import pytest

from cluster_api import Json, eventually
from cluster_control_plane import Access
from cluster_site import Site, site


@pytest.fixture(scope="module")
def here(cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A namespace with a model that serves."""
    with site(cluster, f"put-right-{os.getpid()}", tmp_path_factory.mktemp("put-right")) as made:
        made.start_kubelet()
        made.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 300})
        made.deploy("scaling", made.model_file())
        made.wait_until_ready("scaling")
        yield made


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
    gateway = "forebay-gateway.forebay.svc.cluster.local"
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
        "type": "Audited",
        "status": "True",
        "reason": "Looked",
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
    assert "Audited" in [each["type"] for each in here.status("scaling")["conditions"]]


def test_a_deleted_deployment_is_made_anew_and_serves_again(here: Site) -> None:
    deployment = here.one("deployments")
    here.api.delete(here.path("deployments", deployment["metadata"]["name"]))

    def another() -> bool:
        found = here.all("deployments")
        return bool(found) and found[0]["metadata"]["uid"] != deployment["metadata"]["uid"]

    eventually(another, "the Deployment is not made anew")
    here.wait_until_ready("scaling", replicas=2)
