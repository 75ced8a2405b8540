"""One test's own corner of a cluster: a namespace, a folder, operators and played pods."""

import base64
import contextlib
import http.client
import json
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster_api import PATIENCE_S, Api, ApiError, Json, eventually
from cluster_control_plane import Access
from cluster_kubelet import Kubelet, PlayedPod
from cluster_operator import OperatorProcess, settings
from local_models import save_scaling_model


@dataclass
class Site:
    access: Access
    namespace: str
    folder: Path
    exits: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def api(self) -> Api:
        return self.access.api

    def path(self, kind: str, name: str = "") -> str:
        """The path of an object, or of all of a kind, in this namespace."""
        return f"{_PATHS[kind].format(namespace=self.namespace)}" + (f"/{name}" if name else "")

    def start_operator(self, name: str = "operator-1", **changes: Any) -> OperatorProcess:
        """An operator that acts; ended at the end of the test."""
        operator = self.make_operator(name, **changes)
        operator.wait_until_it_acts()
        return operator

    def make_operator(self, name: str = "operator-1", **changes: Any) -> OperatorProcess:
        return self.exits.enter_context(
            OperatorProcess(self.access, self.folder, settings(self.namespace, self.folder, **changes), name)
        )

    def start_kubelet(self) -> Kubelet:
        """Pods run from now on; ended at the end of the test."""
        return self.exits.enter_context(Kubelet(self.api, self.namespace, self.folder / "pods"))

    def model_file(self, factor: float = 3.0) -> Path:
        return save_scaling_model(self.folder / f"times-{factor:g}.onnx", factor)

    def deploy(self, name: str, source: str | Path, **spec: Any) -> Json:
        """Apply a ModelDeployment."""
        body: Json = {
            "apiVersion": "forebay.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": name},
            "spec": {"model": {"source": {"uri": str(source)}}, **spec},
        }
        return self.api.apply(self.path("modeldeployments", name), body)

    def status(self, name: str) -> Json:
        found = self.api.find(self.path("modeldeployments", name)) or {}
        status: Json = found.get("status") or {}
        return status

    def summary(self, name: str) -> str:
        return str(self.status(name).get("summary", ""))

    def wait_for_summary(self, name: str, part: str, timeout_s: float = PATIENCE_S) -> str:
        """The summary, once it says this."""

        def says() -> str:
            summary = self.summary(name)
            return summary if part in summary else ""

        found: str = eventually(says, lambda: f"{part!r} in the summary of {name}: {self.summary(name)!r}", timeout_s)
        return found

    def wait_until_ready(self, name: str, replicas: int = 1, timeout_s: float = PATIENCE_S) -> Json:
        """The status, once so many replicas are ready."""

        def ready() -> Json | None:
            status = self.status(name)
            # For a moment gateways are still to follow.
            is_followed = not str(status.get("summary", "")).startswith("Nearly ready")
            return status if status.get("readyReplicas") == replicas and status.get("traffic") and is_followed else None

        found: Json = eventually(ready, lambda: f"{name} is not ready: {self.status(name)}", timeout_s)
        return found

    def all(self, kind: str) -> list[Json]:
        return self.api.all(self.path(kind))

    def one(self, kind: str, timeout_s: float = PATIENCE_S) -> Json:
        """The only object of a kind, once it is there."""

        def only() -> Json | None:
            found = self.all(kind)
            assert len(found) < 2, f"{len(found)} {kind}: {[each['metadata']['name'] for each in found]}"
            return found[0] if found else None

        found: Json = eventually(only, f"there is no {kind}", timeout_s)
        return found

    def wait_until_none(self, kind: str) -> None:
        """Until there is no object of a kind left."""
        eventually(lambda: not self.all(kind), lambda: f"there are {kind} left: {self.all(kind)}")

    def events(self, reason: str = "") -> list[Json]:
        """Events of ours."""
        found = self.api.all(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")
        ours = [each for each in found if each.get("reportingController") == "forebay.dev/operator"]
        return [each for each in ours if reason in ("", each["reason"])]

    def infer(self, pod: PlayedPod, model: str, values: list[float]) -> list[float]:
        """A prediction, asked of a server itself."""
        connection = http.client.HTTPConnection(pod.address, 8000, timeout=30)
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, len(values)], "data": values}]}
        try:
            connection.request("POST", f"/v2/models/{model}/infer", json.dumps(body))
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        data: list[float] = answer["outputs"][0]["data"]
        return data

    def index(self, address: str) -> list[Json]:
        """The repository index of a server."""
        secret = self.api.get(self.path("secrets", "forebay-repository-token"))
        token = base64.b64decode(secret["data"]["token"]).decode()
        connection = http.client.HTTPConnection(address, 8000, timeout=30)
        try:
            connection.request("POST", "/v2/repository/index", "{}", {"forebay-repository-token": token})
            entries: list[Json] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return entries


_PATHS = {
    "modeldeployments": "/apis/forebay.dev/v1alpha1/namespaces/{namespace}/modeldeployments",
    "deployments": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "replicasets": "/apis/apps/v1/namespaces/{namespace}/replicasets",
    "jobs": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "pods": "/api/v1/namespaces/{namespace}/pods",
    "services": "/api/v1/namespaces/{namespace}/services",
    "secrets": "/api/v1/namespaces/{namespace}/secrets",
    "poddisruptionbudgets": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "resourcequotas": "/api/v1/namespaces/{namespace}/resourcequotas",
    "limitranges": "/api/v1/namespaces/{namespace}/limitranges",
    "leases": "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
}


@contextlib.contextmanager
def site(access: Access, namespace: str, folder: Path, labels: Json | None = None) -> Generator[Site]:
    """A new namespace, with everything that was started in it ended at the end."""
    metadata: Json = {"name": namespace, "labels": labels or {}}
    access.api.create("/api/v1/namespaces", {"metadata": metadata})
    made = Site(access, namespace, folder)
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    eventually(lambda: access.api.find(account), "the namespace has no service account")
    try:
        with made.exits:
            yield made
    finally:
        with contextlib.suppress(ApiError, OSError):
            access.api.delete(f"/api/v1/namespaces/{namespace}")
