"""Plays the part of kubelets that gives logs: the API server asks it, over TLS, for what played pods wrote."""

import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cluster_api import Api
from cluster_control_plane import ControlPlane
from cluster_kubelet import NODE


@contextmanager
def log_server(plane: ControlPlane, api: Api, pods: Path) -> Generator[None]:
    """The played node's, for the pods of a folder: each has a `log` in a folder of its name."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(pods))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Kubelets' certificates are verified only where the API server is told to: that of the API server itself does.
    certificates = plane.audit_log.parent / "certificates"
    context.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_address[1]}},
    }
    try:
        api.merge(f"/api/v1/nodes/{NODE}/status", {"status": status})
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(pods: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # /containerLogs/NAMESPACE/POD/CONTAINER?…
            name = self.path.split("/")[3]
            log = pods / name / "log"
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            content = "".join(f"2026-01-01T00:00:00.{number:09d}Z {line}\n" for number, line in enumerate(lines, start=1))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Tests are quiet."""

    return Handler
