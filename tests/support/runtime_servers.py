"""Runs the real server as a process, and talks to it by plain HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forebay_schema.repository import LoadOrder, UnloadOrder
from forebay_schema.serving import ServingConfig

DEADLINE_S = 60.0


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Return once the condition holds; fail with `what` after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running server process."""

    process: subprocess.Popen[bytes]
    http: int
    grpc: int
    metrics: int
    log: Path

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return plain_request(self.http, method, path, body, headers)

    def infer_json(self, model: str, data: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("POST", f"/v2/models/{model}/infer", json.dumps(data), headers)

    def load(
        self, model: str, order: LoadOrder, serving: ServingConfig | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        body = order.to_body(model, serving or ServingConfig())
        return self.request("POST", f"/v2/repository/models/{model}/load", json.dumps(body), headers)

    def unload(self, model: str, order: UnloadOrder, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("POST", f"/v2/repository/models/{model}/unload", json.dumps(order.to_body()), headers)

    def index(self) -> dict[tuple[str, str], str]:
        """State by model and version."""
        rows = self.request("POST", "/v2/repository/index").json
        return {(row["name"], row.get("version", "")): row.get("state", "") for row in rows}

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample of the metrics page; fails where there is none."""
        page = plain_request(self.metrics, "GET", "/metrics").body.decode()
        for line in page.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(f'{key}="{label}"' in sample for key, label in labels.items()):
                return float(value)
        raise AssertionError(f"no {name} {labels} on the metrics page:\n{page}")

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


def plain_request(
    port: int, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
    finally:
        connection.close()


@contextmanager
def running_server(folder: Path, *arguments: str, home: Path | None = None, within: Sequence[str] = ()) -> Generator[Server]:
    """A server on free ports with these arguments; `folder` takes its log and ready file. It ends with the block.

    `within`: what is to stand before its command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready.json", folder / "server.log"
    ready.unlink(missing_ok=True)
    command = [
        *(*within, sys.executable, "-m", "forebay_runtime"),
        *("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--ready-file", str(ready)),
        *arguments,
    ]
    environment = {**os.environ, "HOME": str(home or folder)}
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        wait_for(lambda: ready.exists() or process.poll() is not None, "the server listens")
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}:\n{log.read_text()}")
        ports = json.loads(ready.read_text())
        assert ports["pid"] == process.pid
        yield Server(process, ports["http"], ports["grpc"], ports["metrics"], log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextmanager
def requests_in_background(
    server: Server, model: str, data: Mapping[str, Any], headers: Mapping[str, str] | None = None, count: int = 1
) -> Generator[list[Answer]]:
    """Requests that run beside the block; it ends when all are answered or broken. A broken connection is no answer."""
    answers: list[Answer] = []

    def infer() -> None:
        with suppress(OSError, http.client.HTTPException):
            answers.append(server.infer_json(model, data, headers))

    threads = [threading.Thread(target=infer) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        for thread in threads:
            thread.join()


class Wire:
    """A connection on which a test decides every byte."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self._received = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end(self) -> None:
        """Say that nothing more will come."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self) -> Answer:
        """The next answer; its body by its Content-Length."""
        while b"\r\n\r\n" not in self._received:
            self._more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(headers.get("content-length", "0"))
        while len(self._received) < size:
            self._more()
        body, self._received = self._received[:size], self._received[size:]
        return Answer(int(first.split(" ")[1]), headers, body)

    def head(self, end: bytes = b"\r\n\r\n") -> bytes:
        """Everything up to and including `end`."""
        while end not in self._received:
            self._more()
        head, _, self._received = self._received.partition(end)
        return head + end

    def closed(self) -> bool:
        """Wait until the server closes; whether it did so without another byte."""
        return not self._received and self._socket.recv(1) == b""

    def _more(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise AssertionError(f"the server closed the connection after {self._received!r}")
        self._received += data
