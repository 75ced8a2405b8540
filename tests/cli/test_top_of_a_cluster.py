"""`forebay top` where gateways can be asked through the API server, and where they cannot. The API server is played."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli_api_server import Answer, api_server, kubeconfig_of
from cluster_commands import run
from forebay_operator.manifests.kinds import PODS as POD
from forebay_operator.manifests.pool import template
from kubernetes_builders import SIMULATED, a_pool, an_installation, an_object

PODS = "/api/v1/namespaces/forebay-system/pods"
PAGE = """\
forebay_gateway_arrivals_total{namespace="default",model="digits"} 4
forebay_gateway_held{namespace="default",model="digits"} 3
"""

Json = dict[str, Any]


def _model() -> Json:
    metadata = {"name": "digits", "namespace": "default", "uid": "u", "resourceVersion": "1", "generation": 1}
    kind = {"apiVersion": "forebay.dev/v1alpha1", "kind": "ModelDeployment"}
    return {**kind, "metadata": metadata, "spec": {"model": {"source": {"uri": "s3://models/digits.onnx"}}}}


def _server(name: str) -> Json:
    """A pod as the Deployment of its pool makes it, but for its name."""
    made = template(a_pool(SIMULATED), an_installation())
    said = {**made.content["metadata"], "uid": name}
    return an_object(POD, f"{made.deployment}{name}", metadata=said, spec=made.content["spec"], status={"phase": "Running"})


def _gateway(name: str) -> Json:
    ports = [{"name": "control", "containerPort": 8080}]
    metadata = {"name": name, "namespace": "forebay-system", "uid": name, "resourceVersion": "1"}
    status = {"podIP": "10.0.0.1", "containerStatuses": [{"name": "gateway", "state": {"running": {}}}]}
    return {"metadata": metadata, "spec": {"containers": [{"name": "gateway", "ports": ports}]}, "status": status}


ANSWERS: Mapping[str, object] = {
    "/apis/forebay.dev/v1alpha1/namespaces/default/modeldeployments": {"items": [_model()]},
    "/api/v1/namespaces/default/services/digits": {
        "spec": {"externalName": "forebay-gateway.forebay-system.svc.cluster.local"}
    },
    "/api/v1/namespaces/default/pods": {"items": []},
    PODS: {"items": [_gateway("gateway-1"), _gateway("gateway-2")]},
    f"{PODS}/gateway-1:8080/proxy/metrics": PAGE,
}


@contextmanager
def _cluster(answers: Mapping[str, object], folder: Path) -> Generator[Path]:
    """A kubeconfig for one that answers these paths, and forbids all others."""

    def answer(path: str) -> Answer:
        found = answers.get(path)
        if found is None:
            return 403, b'{"message": "not allowed"}'
        return 200, (found if isinstance(found, str) else json.dumps(found)).encode()

    with api_server(answer) as server:
        yield kubeconfig_of(server, folder / "config")


def test_the_load_is_that_of_all_gateways(tmp_path: Path) -> None:
    answers = {**ANSWERS, f"{PODS}/gateway-2:8080/proxy/metrics": PAGE}
    with _cluster(answers, tmp_path) as kubeconfig:
        done = run("top", "--once", "--kubeconfig", str(kubeconfig))

    assert done.returncode == 0, done
    assert "model digits " in done.stdout
    assert "held=6" in done.stdout


def test_where_a_gateway_may_not_be_asked_nothing_is_said_of_the_load(tmp_path: Path) -> None:
    with _cluster(ANSWERS, tmp_path) as kubeconfig:
        done = run("top", "--once", "--kubeconfig", str(kubeconfig))

    assert done.returncode == 0, done
    assert "held=-" in done.stdout


def test_a_pod_that_only_says_that_it_is_a_server_is_not_shown(tmp_path: Path) -> None:
    forged = _server("-5d4f8c-forged")
    forged["metadata"]["name"] = "forebay-forged"
    answers = {**ANSWERS, "/api/v1/namespaces/default/pods": {"items": [_server("-5d4f8c-abcde"), forged]}}
    with _cluster(answers, tmp_path) as kubeconfig:
        done = run("top", "--once", "--kubeconfig", str(kubeconfig))

    assert done.returncode == 0, done
    shown = [line for line in done.stdout.splitlines() if " server " in line]
    assert len(shown) == 1, done.stdout
    assert "-5d4f8c-abcde" in shown[0]
    assert "forged" not in done.stdout
