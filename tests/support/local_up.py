"""A real `forebay up` and the commands that talk to it."""

import http.client
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
import tritonclient.utils
from numpy.typing import NDArray

from forebay_operator.cli.local_api import LocalApi
from forebay_operator.worlds.local.leftovers import MARK
from forebay_operator.worlds.local.process_table import command_of, has_in_environment, pids, start_time
from forebay_operator.worlds.local.state import StateFolder
from local_processes import alive, wait_until, whole_command

FOREBAY = (sys.executable, "-m", "forebay_operator.cli")
SIMULATED = ("--devices", "simulated:2x1Gi,pace=2ms+1ms")
READY_S = 200.0
"""Patience for a model to be converted, loaded and routed on a busy machine."""


class Up:
    """A `forebay up` that runs, or ran."""

    def __init__(self, state: Path, process: "subprocess.Popen[str]", output: Path) -> None:
        self.folder = StateFolder(state)
        self.process = process
        self._output = output

    @property
    def connection(self) -> LocalApi:
        return LocalApi.open(self.folder.root)

    def printed(self) -> str:
        """What it wrote on its terminal so far."""
        return self._output.read_text()

    def command(self, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run another command against it."""
        line = [*FOREBAY, *arguments, "--state", str(self.folder.root)]
        return subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=240, check=False)

    def get(self, name: str) -> dict[str, Any]:
        """One object in the form of the custom resource."""
        shown: dict[str, Any] = self.connection.get(f"/objects/default/{name}")["object"]
        return shown

    def summary(self, name: str) -> str:
        return str(self.get(name).get("status", {}).get("summary", ""))

    def is_ready(self, name: str, revision: int = 1) -> bool:
        status = self.get(name).get("status", {})
        conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
        return conditions.get("Ready") == "True" and status.get("revision") == revision

    def wait_until_ready(self, name: str, revision: int = 1) -> None:
        try:
            wait_until(lambda: self.is_ready(name, revision), "ready", READY_S)
        except AssertionError as error:
            raise AssertionError(f"{name} is not ready: {self.summary(name)}\n{self.printed()}") from error

    def servers_of(self, name: str) -> list[str]:
        """The servers that hold a model, ready."""
        return [
            server["name"]
            for server in self.connection.get("/top")["servers"]
            if any(held["model"] == name and held["phase"] == "ready" for held in server["holds"])
        ]

    def ask_http(self, name: str, value: float = 1.0) -> list[float]:
        """One inference with tritonclient over HTTP, through the gateway."""
        port = self.connection.description.http_port
        with tritonclient.http.InferenceServerClient(f"127.0.0.1:{port}", network_timeout=90.0) as client:
            given = tritonclient.http.InferInput("x", [1, 4], "FP32")
            given.set_data_from_numpy(_features(value))
            return _first_row(client.infer(name, [given]))

    def ask_grpc(self, name: str, value: float = 1.0) -> list[float]:
        """One inference with tritonclient over gRPC, through the gateway."""
        address = f"127.0.0.1:{self.connection.description.grpc_port}"
        authority = [("grpc.default_authority", f"{name}.default")]
        with tritonclient.grpc.InferenceServerClient(address, channel_args=authority) as client:
            given = tritonclient.grpc.InferInput("x", [1, 4], "FP32")
            given.set_data_from_numpy(_features(value))
            return _first_row(client.infer(name, [given], client_timeout=90.0))

    def ask_or_say(self, name: str) -> list[float] | str:
        """The answer, or why there is none."""
        try:
            return self.ask_http(name)
        # A connection that its other end closed is of neither family: geventhttpclient's own error derives from http.client's.
        except (tritonclient.utils.InferenceServerException, OSError, http.client.HTTPException) as error:
            return str(error)

    def ask_grpc_or_say(self, name: str) -> list[float] | str:
        """The same over gRPC."""
        try:
            return self.ask_grpc(name)
        except tritonclient.utils.InferenceServerException as error:
            return str(error)

    def pids(self, program: str = "") -> list[int]:
        """The processes that it started and that live, by a word of their command line."""
        mark = self.folder.mark()
        return [
            pid
            for pid in pids()
            if program in whole_command(pid) and has_in_environment(pid, MARK, mark) and start_time(pid) is not None
        ]

    def pid_of_server(self, name: str) -> int:
        return next(pid for pid in self.pids("forebay_runtime") if name in whole_command(pid))


@contextmanager
def running_up(state: Path, *arguments: str, output: Path | None = None) -> Generator[Up]:
    """A `forebay up` that answers, on ports of its own; ended, with all that it started, whatever happens.

    `output`: a file for what it writes on its terminal; none: one in the state folder.
    """
    state.mkdir(parents=True, exist_ok=True)
    output = output or state / "terminal.txt"
    line = [*FOREBAY, "up", "--state", str(state), "--http-port", "0", "--grpc-port", "0", *arguments]
    with output.open("w") as file, subprocess.Popen(line, stdout=file, stderr=file, text=True) as process:
        up = Up(state, process, output)
        try:
            wait_until(lambda: process.poll() is not None or "gateway: answers" in up.printed(), "forebay up", 200)
            assert process.poll() is None, up.printed()
            yield up
        finally:
            process.terminate()
            _end(process)
            left = up.pids()
    for pid in left:
        os.kill(pid, 9)
    assert not left, f"still running: {[command_of(pid) for pid in left]}"


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()


def _features(value: float) -> NDArray[np.float32]:
    return np.full((1, 4), value, np.float32)


def _first_row(result: Any) -> list[float]:
    return [float(element) for element in result.as_numpy("y")[0]]


__all__ = ["FOREBAY", "READY_S", "SIMULATED", "Up", "alive", "running_up", "wait_until"]
