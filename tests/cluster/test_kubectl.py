"""What people do with ModelDeployments by kubectl, and what they are shown."""

import json
import os
from collections.abc import Iterator

import pytest

from chart_cluster import kubectl
from cluster_api import Json, eventually
from cluster_control_plane import Access
from cluster_operator import OperatorProcess
from cluster_site import Site, site

_BELONGING_TO_EVERY_NAMESPACE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}


@pytest.fixture(scope="module")
def here(cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A namespace with a model that was applied by kubectl, as people do it."""
    with site(cluster, f"kubectl-{os.getpid()}", tmp_path_factory.mktemp("kubectl")) as made:
        made.start_kubelet()
        _kubectl(made, "apply", "-f", "-", given=json.dumps(_model(made)))
        yield made


@pytest.fixture(scope="module", autouse=True)
def operator(here: Site) -> OperatorProcess:
    servers = {"cpuImage": "forebay/runtime:test", "gpuImage": "forebay/runtime:test", "maxUnavailable": 1}
    return here.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 300}, servers=servers)


def _model(here: Site, **spec: Json | int) -> Json:
    uri = str(here.model_file())
    return {
        "apiVersion": "forebay.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "scaling"},
        "spec": {"model": {"source": {"uri": uri}}, **spec},
    }


def _kubectl(here: Site, *arguments: str, given: str = "") -> str:
    return kubectl(here.access, "--namespace", here.namespace, *arguments, given=given).stdout


def test_wait_ends_when_a_model_is_ready_and_get_shows_what_it_is_about(here: Site) -> None:
    here.wait_until_ready("scaling")
    assert "condition met" in _kubectl(here, "wait", "--for=condition=Ready", "--timeout=60s", "mdep/scaling")
    header, row = _kubectl(here, "get", "mdep", "--output=wide").splitlines()
    assert header.split() == ["NAME", "READY", "WANTED", "REPLICAS", "QUEUE", "AGE", "REVISION", "REASON", "SUMMARY"]
    cells = row.split()
    assert cells[:5] == ["scaling", "True", "1", "1", "0"]
    assert cells[6:8] == ["1", "Serving"]
    assert "Ready: 1 of 1 replica on 1 simulated GPU" in row
    assert _kubectl(here, "get", "mdep").splitlines()[0].split() == header.split()[:6]


def test_explain_describes_every_field(here: Site) -> None:
    told = _kubectl(here, "explain", "mdep.spec.autoscaling")
    for field in ("minReplicas", "maxReplicas", "targetQueueDepth", "scaleDownDelay", "idleTimeout"):
        assert field in told
    assert "How many requests may wait for each replica" in " ".join(told.split())


def test_scale_changes_the_replicas(here: Site) -> None:
    _kubectl(here, "scale", "mdep/scaling", "--replicas=2")
    here.wait_until_ready("scaling", replicas=2)


def test_client_side_and_server_side_apply_of_the_same_manifest_change_nothing_else(here: Site) -> None:
    before = here.api.get(here.path("modeldeployments", "scaling"))["spec"]
    given = json.dumps(_model(here, replicas=2))
    assert "configured" in _kubectl(here, "apply", "-f", "-", given=given)
    assert "unchanged" in _kubectl(here, "apply", "-f", "-", given=given)
    assert "serverside-applied" in _kubectl(here, "apply", "--server-side", "--force-conflicts", "-f", "-", given=given)
    assert here.api.get(here.path("modeldeployments", "scaling"))["spec"] == {**before, "replicas": 2}


def test_events_tell_what_happened(here: Site) -> None:
    told = _kubectl(here, "describe", "mdep", "scaling")
    assert "spec.replicas is 2" in told


def test_what_is_left_of_two_models_goes_with_the_second_also_where_no_operator_runs(
    here: Site, operator: OperatorProcess
) -> None:
    """Whatever Forebay made in a namespace belongs to the models there: in whichever order it is uninstalled."""
    other = {**_model(here, stopped=True), "metadata": {"name": "other"}}
    _kubectl(here, "apply", "-f", "-", given=json.dumps(other))
    both = [["other", "scaling"]]
    eventually(lambda: _owners(here, "deployments") == both, "the pool has other owners")
    eventually(lambda: _owners(here, "poddisruptionbudgets") == both, "its budget has other owners")
    operator.stop()

    _kubectl(here, "delete", "mdep", "scaling")
    eventually(lambda: not here.api.find(here.path("services", "scaling")), "the Service stays")
    assert [each["spec"]["replicas"] for each in here.all("deployments")] == [2]
    _kubectl(here, "delete", "mdep", "other")

    kinds = _kubectl(here, "api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    # Events tell of what was; Leases are the operator's own.
    asked = ",".join(kind for kind in kinds if not kind.startswith(("events", "leases")))

    def left() -> set[str]:
        return set(_kubectl(here, "get", asked, "--output=name").split()) - _BELONGING_TO_EVERY_NAMESPACE

    eventually(lambda: not left(), lambda: f"there is something left: {sorted(left())}")


def _owners(here: Site, kind: str) -> list[list[str]]:
    return [sorted(owner["name"] for owner in each["metadata"].get("ownerReferences", [])) for each in here.all(kind)]
