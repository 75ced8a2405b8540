"""A stand-in for a server behind the gateway, as a process: answers inference by HTTP and gRPC, and remembers what it saw.

Run as `python gateway_backend.py NAME ADDRESS`; the first line of its output is a JSON object with its ports. By HTTP it also
answers `GET /backend/seen` (all requests so far), `POST /backend/reset` (forget them), and `POST /backend/mode` with
`{"retry": bool, "delay_s": float}`: whether every request is sent elsewhere with the retry answer, and how long one takes;
with another mode, those that are there take no longer.
"""

import json
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from forebay_schema.network import authority

# Its classes are made at run time.
_pb2: Final = cast(Any, service_pb2)


@dataclass(frozen=True, slots=True)
class Seen:
    """One inference request as it arrived here."""

    protocol: str
    id: str
    model: str
    version: str
    size: int
    headers: tuple[str, ...]


@dataclass(slots=True)
class State:
    name: str
    seen: list[Seen] = field(default_factory=list[Seen])
    retry: bool = False
    delay_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Event = field(default_factory=threading.Event)
    """Set when there is another mode."""

    def reset(self) -> None:
        with self.lock:
            self.seen = []
        self.set_mode(retry=False, delay_s=0.0)

    def set_mode(self, *, retry: bool, delay_s: float) -> None:
        with self.lock:
            self.retry, self.delay_s = retry, delay_s
            self.changed.set()
            self.changed = threading.Event()

    def note(self, protocol: str, headers: dict[str, str], size: int) -> Seen:
        seen = Seen(
            protocol=protocol,
            id=headers.get("x-test-id", ""),
            model=headers.get("forebay-model", ""),
            version=headers.get("forebay-version", ""),
            size=size,
            headers=tuple(sorted(headers)),
        )
        with self.lock:
            self.seen.append(seen)
            delay_s, changed = self.delay_s, self.changed
        changed.wait(delay_s)
        return seen


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        if self.path == "/backend/seen":
            with self.state.lock:
                self._send(200, [asdict(seen) for seen in self.state.seen])
        else:
            self._send(200, {"name": self.path.split("/")[3], "server": self.state.name})

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/backend/reset":
            self.state.reset()
            self._send(200, {})
        elif self.path == "/backend/mode":
            mode = json.loads(body)
            self.state.set_mode(**mode)
            self._send(200, {})
        elif self.state.retry:
            self._send(503, {"error": "not ready"}, ("x-forebay-retry", "not-ready"))
        else:
            seen = self.state.note("http", {key.lower(): value for key, value in self.headers.items()}, len(body))
            output = {"name": "OUT", "datatype": "INT32", "shape": [1], "data": [7]}
            answer = {"model_name": seen.model, "model_version": seen.version, "id": self.state.name, "outputs": [output]}
            self._send(200, answer)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        chunks: list[bytes] = []
        while length := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, status: int, content: Any, *headers: tuple[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (*headers, ("content-type", "application/json"), ("content-length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """No access log."""


class Grpc(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # tritonclient has no types
    def __init__(self, state: State) -> None:
        self._state = state

    # The names are those of the service.
    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._infer(request, context)

    def ModelStreamInfer(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        for request in request_iterator:
            yield _pb2.ModelStreamInferResponse(infer_response=self._infer(request, context))

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return _pb2.ModelMetadataResponse(name=request.name, platform=self._state.name)

    def _infer(self, request: Any, context: Any) -> Any:
        if self._state.retry:
            context.set_trailing_metadata((("x-forebay-retry", "not-ready"),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "not ready")
        headers = {str(key): str(value) for key, value in context.invocation_metadata()}
        seen = self._state.note("grpc", headers, request.ByteSize())
        answer = _pb2.ModelInferResponse(model_name=seen.model, model_version=seen.version, id=self._state.name)
        answer.outputs.add(name="OUT", datatype="INT32", shape=[1])
        answer.raw_output_contents.append((7).to_bytes(4, "little"))
        return answer


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that clients cut are what the tests do."""


def main(name: str, address: str) -> None:
    state = State(name)
    HttpServer.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
    http = HttpServer((address, 0), type("BoundHttp", (Http,), {"state": state}))
    server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Grpc(state), server)
    grpc_port = server.add_insecure_port(authority(address, 0))
    server.start()
    sys.stdout.write(json.dumps({"http": http.server_address[1], "grpc": grpc_port}) + "\n")
    sys.stdout.flush()
    http.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
