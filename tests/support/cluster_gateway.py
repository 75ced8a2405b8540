"""Plays a gateway: a pod that reports demand, and that follows the routes in statuses as fast as it can list them."""

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cluster_api import Api, ApiError, Json
from cluster_kubelet import NODE
from forebay_schema.demand import DemandLine, ModelDemand

_LINE_S = 0.2


class PlayedGateway:
    """A gateway in a namespace; its figures are set by the test."""

    def __init__(self, api: Api, namespace: str, name: str = "gateway-1") -> None:
        self.held: dict[str, int] = {}
        self.arrivals: dict[str, int] = {}
        self._api = api
        self._namespace = namespace
        self._name = name
        self._sequence = 0
        self._end = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "PlayedGateway":
        self._thread.start()
        self._make_pod()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with contextlib.suppress(ApiError, OSError):
            path = f"/api/v1/namespaces/{self._namespace}/pods/{self._name}"
            self._api.call("DELETE", path, {"gracePeriodSeconds": 0})

    def line(self) -> str:
        self._sequence += 1
        models = tuple(
            ModelDemand(namespace=self._namespace, name=name, held=self.held.get(name, 0), arrivals=self.arrivals.get(name, 0))
            for name in sorted({*self.held, *self.arrivals})
        )
        return DemandLine(gateway=self._name, sequence=self._sequence, routes=self._routes(), models=models).to_json() + "\n"

    def _routes(self) -> str:
        """What Envoy has acknowledged: everything up to the listing."""
        path = f"/apis/forebay.dev/v1alpha1/namespaces/{self._namespace}/modeldeployments?limit=1"
        with contextlib.suppress(ApiError, OSError):
            return str(self._api.get(path)["metadata"]["resourceVersion"])
        return ""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while not gateway.has_ended():
                        self.wfile.write(gateway.line().encode())
                        self.wfile.flush()
                        time.sleep(_LINE_S)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """Tests are quiet."""

        return Handler

    def has_ended(self) -> bool:
        return self._end.is_set()

    def _make_pod(self) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        labels = {"app.kubernetes.io/component": "gateway", "app.kubernetes.io/part-of": "forebay"}
        port = {"name": "control", "containerPort": self._server.server_address[1]}
        spec: Json = {"nodeName": NODE, "containers": [{"name": "gateway", "image": "forebay/gateway:test", "ports": [port]}]}
        self._api.create(path, {"metadata": {"name": self._name, "labels": labels}, "spec": spec})
        running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        container = {
            "name": "gateway",
            "image": "x",
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": running,
        }
        status = {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
            "containerStatuses": [container],
        }
        self._api.call("PATCH", f"{path}/{self._name}/status", {"status": status}, "application/strategic-merge-patch+json")
