"""`forebay top` where gateways can be asked through the API server, and where they cannot. The API server is played."""

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cluster_commands import run

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
def _api_server(answers: Mapping[str, object], folder: Path) -> Generator[Path]:
    """A kubeconfig for one that answers these paths, and forbids all others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(unquote(urlsplit(self.path).path))
            content = (found if isinstance(found, str) else json.dumps(found or {"message": "not allowed"})).encode()
            self.send_response(403 if found is None else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield _kubeconfig(folder / "config", f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _kubeconfig(path: Path, server: str) -> Path:
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path.write_text(json.dumps(content))
    return path


def test_the_load_is_that_of_all_gateways(tmp_path: Path) -> None:
    answers = {**ANSWERS, f"{PODS}/gateway-2:8080/proxy/metrics": PAGE}
    with _api_server(answers, tmp_path) as kubeconfig:
        done = run("top", "--once", "--kubeconfig", str(kubeconfig))

    assert done.returncode == 0, done
    assert "model digits " in done.stdout
    assert "held=6" in done.stdout


def test_where_a_gateway_may_not_be_asked_nothing_is_said_of_the_load(tmp_path: Path) -> None:
    with _api_server(ANSWERS, tmp_path) as kubeconfig:
        done = run("top", "--once", "--kubeconfig", str(kubeconfig))

    assert done.returncode == 0, done
    assert "held=-" in done.stdout
