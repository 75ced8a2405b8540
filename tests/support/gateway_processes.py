"""A real gateway with its real Envoy, and stand-in servers behind it, as processes that always end with the test."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, TypeVar

import gateway_backend
from forebay_schema.demand import DemandLine, ModelDemand
from forebay_schema.network import authority
from forebay_schema.routes import Endpoint, Route, RouteTable
from free_ports import free_port

T = TypeVar("T")
PATIENCE_S = 60.0
"""How long a test waits for what must happen: generous, as machines are busy."""


def eventually(what: str, check: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """The first result of `check` that is true; fails with `what` if there is none in time."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        result = check()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"never came: {what}")


@dataclass
class Backend:
    """A stand-in server: see gateway_backend."""

    name: str
    process: "subprocess.Popen[bytes]"
    endpoint: Endpoint

    @classmethod
    @contextmanager
    def running(cls, name: str, address: str = "127.0.0.1") -> "Generator[Backend]":
        command = [sys.executable, gateway_backend.__file__, name, address]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout
                ports = json.loads(process.stdout.readline())
                yield cls(name, process, Endpoint(host=address, **ports))
            finally:
                process.kill()

    def reset(self) -> None:
        """Forget what was seen, and answer at once."""
        self._call("/backend/reset", {})

    def seen(self) -> list[dict[str, Any]]:
        return list(self._call("/backend/seen", None))

    def mode(self, *, retry: bool = False, delay_s: float = 0.0) -> None:
        self._call("/backend/mode", {"retry": retry, "delay_s": delay_s})

    def _call(self, path: str, content: Any) -> Any:
        data = None if content is None else json.dumps(content).encode()
        url = f"http://{authority(self.endpoint.host, self.endpoint.http)}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=PATIENCE_S) as answer:
            return json.load(answer)


@dataclass
class GatewayProcess:
    """`forebay-gateway` in a folder of its own, with its Envoy."""

    folder: Path
    http_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    run_dir: Path = Path()

    def __post_init__(self) -> None:
        self.run_dir = self.folder / "run"

    @classmethod
    @contextmanager
    def prepared(cls) -> "Generator[GatewayProcess]":
        """A gateway that is not started yet, and has no route table."""
        with tempfile.TemporaryDirectory(prefix="fb-", dir="/tmp") as folder:
            gateway = cls(Path(folder))
            try:
                yield gateway
            finally:
                gateway.end()

    @classmethod
    @contextmanager
    def running(cls, *routes: Route) -> "Generator[GatewayProcess]":
        with cls.prepared() as gateway:
            gateway.write(*routes)
            gateway.start()
            gateway.wait_until_ready()
            yield gateway

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def routes_file(self) -> Path:
        return self.folder / "routes.json"

    @property
    def control_socket(self) -> Path:
        return self.folder / "control.sock"

    def write(self, *routes: Route) -> RouteTable:
        """Replace the route table; does not wait for it."""
        table = RouteTable(routes=routes)
        self.replace_routes_file(table.to_json())
        return table

    def replace_routes_file(self, text: str) -> None:
        temporary = self.routes_file.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(self.routes_file)

    def route(self, *routes: Route) -> None:
        """Replace the route table and wait until Envoy has it."""
        digest = self.write(*routes).digest()
        for line in self.demand_lines():
            if line.routes == digest:
                return

    def start(self, *options: str) -> None:
        (self.folder / "ready.json").unlink(missing_ok=True)
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(*options), stderr=log, env=self.environment())

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def source(self) -> list[str]:
        """The options that say where routes come from."""
        return ["--routes", str(self.routes_file)]

    def command(self, *options: str) -> list[str]:
        return [
            *(sys.executable, "-m", "forebay_gateway", *self.source()),
            *("--run-dir", str(self.run_dir), "--control-socket", str(self.control_socket)),
            *("--ready-file", str(self.folder / "ready.json")),
            *("--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port), *options),
        ]

    def wait_until_ready(self) -> None:
        eventually(f"a ready gateway: {self.log()}", (self.folder / "ready.json").exists)

    def ready(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "ready.json").read_text())
        return content

    @property
    def envoy_pid(self) -> int:
        return int(json.loads((self.run_dir / "envoy-process.json").read_text())["pid"])

    def kill(self) -> None:
        """SIGKILL for our process, not for Envoy."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def end(self) -> None:
        """End both processes, whatever state they are in."""
        if self.process and self.process.poll() is None:
            self.kill()
        try:
            os.kill(self.envoy_pid, signal.SIGKILL)
        except (OSError, ValueError):
            return

    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def page(self, path: str) -> tuple[int, str]:
        with self._control(path) as answer:
            return answer.status, answer.read().decode()

    def demand_lines(self) -> Generator[DemandLine]:
        """The demand stream, without end."""
        with self._control("/demand") as answer:
            while line := answer.readline():
                yield DemandLine.from_json(line)

    def demand(self, name: str, until: Callable[[ModelDemand], bool]) -> ModelDemand:
        """The first demand of a model in the default namespace for which `until` is true."""
        for line in self.demand_lines():
            for model in line.models:
                if model.name == name and until(model):
                    return model
        raise AssertionError("the demand stream ended")

    def wait_until_held(self, name: str, count: int) -> None:
        self.demand(name, lambda model: model.held == count)

    @contextmanager
    def _control(self, path: str) -> Generator[HTTPResponse]:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(PATIENCE_S)
            channel.connect(str(self.control_socket))
            channel.sendall(f"GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n".encode())
            with HTTPResponse(channel) as answer:
                answer.begin()
                yield answer
