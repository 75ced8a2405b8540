"""The real gateway, with its real Envoy, under the name of a pod that the operator finds."""

import contextlib
import http.client
import json
import os
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from cluster_api import Api, ApiError, Json
from cluster_control_plane import Access
from cluster_kubelet import NODE
from free_ports import free_port
from gateway_processes import PATIENCE_S, GatewayProcess

_ACCOUNT = "gateway"
HOLD_S = 600
"""However slow this machine is to get a replica ready, a request can wait for it."""


@dataclass
class ClusterGateway(GatewayProcess):
    """`forebay-gateway --kubernetes` for one namespace."""

    kubeconfig: Path = Path()
    namespace: str = ""
    control_port: int = field(default_factory=free_port)
    drain_seconds: int = 60

    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def source(self) -> list[str]:
        return [
            *("--kubernetes", "--namespace", self.namespace, "--default-namespace", self.namespace),
            *("--hold-seconds", str(HOLD_S), "--drain-seconds", str(self.drain_seconds)),
            *("--control-address", f"127.0.0.1:{self.control_port}"),
        ]

    def infer(self, model: str, values: list[float], timeout_s: float = 10 * PATIENCE_S) -> list[float]:
        """A prediction, asked of the gateway by the model's name in DNS."""
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, len(values)], "data": values}]}
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout_s)
        try:
            host = f"{model}.{self.namespace}.svc.cluster.local:8000"
            connection.request("POST", f"/v2/models/{model}/infer", json.dumps(body), {"host": host})
            answer = connection.getresponse()
            content = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, (answer.status, content)
        data: list[float] = content["outputs"][0]["data"]
        return data


def account(access: Access, namespace: str, folder: Path) -> Access:
    """The cluster as a service account sees it that has no rights yet: see `grant`."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    access.api.create(path, {"metadata": {"name": _ACCOUNT}})
    asked = access.api.create(f"{path}/{_ACCOUNT}/token", {"spec": {"expirationSeconds": 3600}})
    config: Json = yaml.safe_load(access.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": each["name"], "user": {"token": asked["status"]["token"]}} for each in config["users"]]
    kubeconfig = folder / "gateway.kubeconfig"
    kubeconfig.write_text(json.dumps(config), encoding="utf-8")
    return Access(kubeconfig, access.api)


def grant(api: Api, namespace: str) -> None:
    """Give the account what the chart gives a gateway."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    metadata = {"name": _ACCOUNT}
    rule = {"apiGroups": ["forebay.dev"], "resources": ["modeldeployments"], "verbs": ["list", "watch"]}
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _ACCOUNT}
    api.create(f"{path}/roles", {"metadata": metadata, "rules": [rule]})
    api.create(f"{path}/rolebindings", {"metadata": metadata, "roleRef": reference, "subjects": [subject]})


@contextlib.contextmanager
def gateway(access: Access, namespace: str, name: str = "gateway-1") -> Generator[ClusterGateway]:
    """A gateway that is started and has a pod; both end with the block."""
    with tempfile.TemporaryDirectory(prefix="fb-", dir="/tmp") as folder:
        made = ClusterGateway(Path(folder), kubeconfig=access.kubeconfig, namespace=namespace)
        try:
            made.start()
            with _pod(access.api, namespace, name, made.control_port):
                yield made
        finally:
            made.end()


@contextlib.contextmanager
def _pod(api: Api, namespace: str, name: str, port: int) -> Generator[None]:
    """A pod with one container, as the operator sees it."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    labels = {"app.kubernetes.io/component": "gateway", "app.kubernetes.io/part-of": "forebay"}
    container: Json = {
        "name": "gateway",
        "image": "forebay/gateway:test",
        "ports": [{"name": "control", "containerPort": port}],
    }
    spec: Json = {"nodeName": NODE, "containers": [container]}
    api.create(path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    api.call("PATCH", f"{path}/{name}/status", {"status": _status()}, "application/strategic-merge-patch+json")
    try:
        yield
    finally:
        remove_pod(api, namespace, name)


def remove_pod(api: Api, namespace: str, name: str) -> None:
    """As when a pod has ended and is gone; also if it is gone already."""
    with contextlib.suppress(ApiError, OSError):
        api.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", {"gracePeriodSeconds": 0})


def _status() -> Json:
    container: Json = {
        "name": "gateway",
        "image": "x",
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    return {
        "phase": "Running",
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "containerStatuses": [container],
    }
