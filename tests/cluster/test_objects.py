"""ModelDeployments lead to the right objects, and to answers: conversions and servers really run."""

import os
from collections.abc import Iterator

import pytest

from cluster_api import Json, eventually
from cluster_control_plane import Access
from cluster_kubelet import Kubelet
from cluster_site import Site, site


@pytest.fixture(scope="module")
def here(cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A namespace in which the restricted standard is enforced, with an operator that acts: for all tests here."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with site(cluster, f"objects-{os.getpid()}", tmp_path_factory.mktemp("objects"), labels) as made:
        made.start_operator(devices={"simulated": {"servers": 3, "memory": "1Gi"}})
        yield made


@pytest.fixture(scope="module")
def kubelet(here: Site) -> Kubelet:
    return here.start_kubelet()


@pytest.fixture(scope="module", autouse=True)
def applied(here: Site, kubelet: Kubelet) -> Json:  # noqa: ARG001 - it runs the pods
    """A model that serves: the first of them is converted while the tests begin."""
    return here.deploy("scaling", here.model_file(3.0))


def test_a_model_gets_a_service_of_its_name_that_leads_to_the_gateway(here: Site, applied: Json) -> None:
    service = eventually(lambda: here.api.find(here.path("services", "scaling")), "there is no Service")
    (owner,) = service["metadata"]["ownerReferences"]
    assert (owner["name"], owner["uid"], owner["controller"]) == ("scaling", applied["metadata"]["uid"], True)
    assert service["spec"]["type"] == "ExternalName"
    assert service["spec"]["externalName"] == "forebay-gateway.forebay-system.svc.cluster.local"


def test_a_model_is_converted_placed_loaded_and_answers(here: Site, kubelet: Kubelet) -> None:
    status = here.wait_until_ready("scaling")
    (deployment,) = here.all("deployments")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "forebay"
    assert deployment["metadata"]["labels"]["app.kubernetes.io/component"] == "server"
    (server,) = kubelet.pods("server")
    assert here.infer(server, "scaling", [1.0, 2.0, 3.0, 4.0]) == [3.0, 6.0, 9.0, 12.0]
    (share,) = status["traffic"]
    assert share["weight"] == 100
    assert share["endpoints"] == [{"host": server.address, "http": 8000, "grpc": 8001}]
    assert status["summary"].startswith("Ready: 1 of 1 replica on 1 simulated GPU")
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Converted": "True",
        "Placed": "True",
        "Ready": "True",
        "Autoscaling": "False",
    }
    assert [each["note"] for each in here.events("Scaled")] == ["0 to 1 replicas: spec.replicas is 1."]


def test_the_job_of_a_conversion_goes_once_its_result_is_in_the_status(here: Site, kubelet: Kubelet) -> None:
    eventually(lambda: not here.all("jobs"), "an earlier Job stays")
    kubelet.held.add("conversion")
    here.deploy("second", here.model_file(2.0))
    job = here.one("jobs")
    assert job["metadata"]["name"].startswith("forebay-convert-")
    assert job["metadata"]["labels"]["forebay.dev/model"] == "second"
    assert [each["name"] for each in job["metadata"]["ownerReferences"]] == ["second"]
    assert job["spec"]["backoffLimit"] == 0
    kubelet.held.clear()
    here.wait_until_ready("second")
    eventually(lambda: not here.all("jobs"), "the Job stays")


def test_models_share_a_server_and_one_of_an_exclusive_pool_has_its_own(here: Site, kubelet: Kubelet) -> None:
    template = {"env": [{"name": "COLOUR", "value": "blue"}], "labels": {"team": "a"}}
    here.deploy("alone", here.model_file(2.0), placement={"exclusive": True, "podTemplate": template})
    for name in ("scaling", "second", "alone"):
        here.wait_until_ready(name)
    assert len(kubelet.pods("server")) == 2
    (own,) = [each for each in here.all("deployments") if each["metadata"]["labels"].get("forebay.dev/model") == "alone"]
    (container,) = own["spec"]["template"]["spec"]["containers"]
    assert {"name": "COLOUR", "value": "blue"} in container["env"]
    assert own["spec"]["template"]["metadata"]["labels"]["team"] == "a"
    assert [each["name"] for each in own["metadata"]["ownerReferences"]] == ["alone"]


def test_a_new_revision_takes_over_beside_the_old_one(here: Site, kubelet: Kubelet) -> None:
    here.wait_until_ready("scaling")
    here.deploy("scaling", here.model_file(5.0))

    def second_serves() -> bool:
        return [share["revision"] for share in here.status("scaling").get("traffic", [])] == [2]

    eventually(second_serves, lambda: f"revision 2 does not serve: {here.status('scaling')}")
    (host,) = {endpoint["host"] for share in here.status("scaling")["traffic"] for endpoint in share["endpoints"]}
    (server,) = [pod for pod in kubelet.pods("server") if pod.address == host]
    assert here.infer(server, "scaling", [1.0, 0.0, 0.0, 0.0]) == [5.0, 0.0, 0.0, 0.0]


def test_a_stopped_model_keeps_its_object_and_a_deleted_one_leaves_nothing_behind(here: Site, kubelet: Kubelet) -> None:
    here.api.merge(here.path("modeldeployments", "scaling"), {"spec": {"stopped": True}})
    here.wait_for_summary("scaling", "Stopped: set spec.stopped to false")
    assert not here.status("scaling").get("traffic")
    for name in ("scaling", "second", "alone"):
        here.api.delete(here.path("modeldeployments", name))
    for kind in ("services", "jobs", "pods", "deployments"):
        here.wait_until_none(kind)
    eventually(lambda: not kubelet.pods("server"), "there are processes left")
