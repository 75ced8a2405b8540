"""Pods of conversions: admitted where the restricted standard is enforced, and their troubles told by real Jobs."""

import os
from collections.abc import Iterator

import pytest

from cluster_api import Json
from cluster_control_plane import Access
from cluster_kubelet import Kubelet
from cluster_site import Site, site
from convert_servers import Objects, object_server
from forebay_operator.domain.deployment import Source
from forebay_operator.manifests.conversion import job
from forebay_operator.manifests.installation import StoreSettings
from kubernetes_builders import a_conversion_order, a_start, an_installation

SINCE = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def here(cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A namespace in which the restricted standard is enforced, with an operator that acts."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with site(cluster, f"conversions-{os.getpid()}", tmp_path_factory.mktemp("conversions"), labels) as made:
        made.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 300})
        yield made


@pytest.fixture(scope="module")
def kubelet(here: Site) -> Kubelet:
    return here.start_kubelet()


@pytest.mark.parametrize(
    "store",
    [StoreSettings(uri="s3://b/models", has_credentials=True), StoreSettings(uri="file:///store", claim="models")],
    ids=["object-store", "shared-volume"],
)
def test_job_and_pod_are_admitted_under_the_restricted_standard(store: StoreSettings, here: Site) -> None:
    start = a_start(source=Source(uri="s3://m/m.joblib", format="sklearn", secret="my-s3", sha256="ab" * 32))
    made = job(start, a_conversion_order(), [], an_installation(store=store, pull_secrets=("pull",)))
    template = made["spec"]["template"]
    pod = {"metadata": {"name": "dry", **template["metadata"]}, "spec": template["spec"]}

    strict = "dryRun=All&fieldValidation=Strict"
    made["metadata"]["namespace"] = here.namespace
    shown = here.api.create(f"{here.path('jobs')}?{strict}", made)
    # A template that is refused shows in Events only; so the pod is tried as well.
    admitted = here.api.create(f"{here.path('pods')}?{strict}", pod)

    assert [each["name"] for each in admitted["spec"]["initContainers"]] == ["find", "fetch", "convert"]
    assert not [each for each in admitted["spec"]["volumes"] if "projected" in each]
    assert shown["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 900


def test_a_secret_that_is_missing_and_then_wrong_is_named_and_a_right_one_is_enough(here: Site, kubelet: Kubelet) -> None:
    assert kubelet is not None
    with object_server() as objects:
        objects.content["/models/scaling.onnx"] = here.model_file(3.0).read_bytes()
        source = {"uri": "s3://models/scaling.onnx", "secretRef": {"name": "my-s3"}}
        body = {"apiVersion": "forebay.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "guarded"}}
        here.api.apply(here.path("modeldeployments", "guarded"), {**body, "spec": {"model": {"source": source}}})
        summary = here.wait_for_summary("guarded", 'secret "my-s3" not found')
        assert "create what is missing" in summary

        objects.forbidden.set()
        here.api.create(here.path("secrets"), {"metadata": {"name": "my-s3"}, "stringData": _credentials(objects)})
        summary = here.wait_for_summary("guarded", "may not be read")
        assert "Check the credentials: source.secretRef" in summary

        objects.forbidden.clear()
        here.wait_until_ready("guarded")


def _credentials(objects: Objects) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": objects.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }


def test_a_conversion_whose_pod_is_evicted_is_named_and_tried_again(here: Site, kubelet: Kubelet) -> None:
    def evicted(pod: Json) -> Json | None:
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] != "conversion":
            return None
        message = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 0. "
        ended = {"exitCode": 137, "reason": "Error", "startedAt": SINCE, "finishedAt": SINCE}
        first = pod["spec"]["initContainers"][0]
        state = {"name": first["name"], "image": first["image"], "imageID": "", "ready": False, "restartCount": 0}
        killed = [{**state, "state": {"terminated": ended}}]
        return {"phase": "Failed", "reason": "Evicted", "message": message, "initContainerStatuses": killed}

    kubelet.trouble = evicted
    try:
        here.deploy("evicted", here.model_file(4.0))
        summary = here.wait_for_summary("evicted", "low on resource: ephemeral-storage")
    finally:
        kubelet.trouble = lambda _: None

    assert "It is tried again by itself" in summary
    here.wait_until_ready("evicted")
