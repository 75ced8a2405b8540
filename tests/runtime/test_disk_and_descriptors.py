"""No room on the scratch volume, no descriptors or memory left: what is served goes on, and there being some again is enough.

A limit on the size of files stands for a full disk: it needs no privilege, and fails the same calls.
"""

import http.client
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import onnx
import pytest

from forebay_schema.repository import LoadOrder
from runtime_models import MIB, add_model, heavy_model, put_artifact, put_model
from runtime_servers import Server, Wire, running_server, wait_for

ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}
LARGE_FILE = 4 * MIB


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    arguments = ("--model-control-mode", "explicit", "--scratch", str(tmp_path / "scratch"))
    with running_server(tmp_path / "server", *arguments) as running:
        yield running


def large_model() -> bytes:
    model = onnx.load_from_string(add_model(2.0))
    model.doc_string = "x" * LARGE_FILE
    return bytes(model.SerializeToString())


def load(server: Server, model: str, artifact: tuple[str, str], sequence: int) -> tuple[int, str]:
    uri, digest = artifact
    order = LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=1, forebay_sequence=sequence)
    answer = server.load(model, order)
    return answer.status, answer.body.decode()


def test_a_full_scratch_volume_fails_one_load_and_room_on_it_is_enough(server: Server, tmp_path: Path) -> None:
    small = put_artifact(tmp_path / "store", add_model(1.0))
    large = put_artifact(tmp_path / "store", large_model())
    assert load(server, "small", small, 1)[0] == 200
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (LARGE_FILE // 2, resource.RLIM_INFINITY))
    status, said = load(server, "large", large, 2)
    assert (status, "File too large" in said) == (400, True), said
    assert server.infer_json("small", ONES).status == 200
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
    assert load(server, "large", large, 3)[0] == 200
    assert server.infer_json("large", ONES).json["outputs"][0]["data"] == [3.0] * 16
    # Nothing of the first try is left.
    assert list((tmp_path / "scratch" / "artifacts-partial").iterdir()) == []


def test_what_is_loaded_serves_though_it_cannot_be_written_down(server: Server, tmp_path: Path) -> None:
    small = put_artifact(tmp_path / "store", add_model(1.0))
    assert load(server, "first", small, 1)[0] == 200
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    status, said = load(server, "second", small, 2)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
    assert status == 200, said
    assert server.infer_json("first", ONES).status == 200
    assert server.infer_json("second", ONES).status == 200


def test_descriptors_that_run_out_keep_no_connection_from_being_served(server: Server, tmp_path: Path) -> None:
    assert load(server, "m", put_artifact(tmp_path / "store", add_model(1.0)), 1)[0] == 200
    used = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 20, most))
    with Wire(server.http) as wire, ExitStack() as idle:
        wire.send(b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
        assert wire.answer().status == 200
        for _ in range(60):
            idle.enter_context(socket.create_connection(("127.0.0.1", server.http), timeout=60))
        wait_for(
            lambda: len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) >= used + 20, "there are no descriptors left"
        )
        for _ in range(20):
            wire.send(b"GET /v2/models/m/ready HTTP/1.1\r\nHost: h\r\n\r\n")
            assert wire.answer().status == 200
        idle.close()
        wait_for(lambda: _answers(server), "new connections are taken again")
    assert server.process.poll() is None


def test_a_model_that_there_is_no_memory_for_is_refused_and_memory_is_enough(tmp_path: Path) -> None:
    put_model(tmp_path / "models", "small", add_model())
    put_model(tmp_path / "models", "heavy", heavy_model(64))
    arguments = ("--model-control-mode", "explicit", "--model-repository", str(tmp_path / "models"))
    with running_server(tmp_path, *arguments) as server:
        assert server.request("POST", "/v2/repository/models/small/load", "{}").status == 200
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        taken = int(status.partition("VmSize:")[2].split()[0]) << 10
        before = resource.prlimit(server.process.pid, resource.RLIMIT_AS, (taken + 32 * MIB, resource.RLIM_INFINITY))
        refused = server.request("POST", "/v2/repository/models/heavy/load", "{}")
        assert (refused.status, "there is too little memory left for it (" in refused.json["error"]) == (400, True), refused
        assert server.infer_json("small", ONES).status == 200
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, before)
        assert server.request("POST", "/v2/repository/models/heavy/load", "{}").status == 200


def _answers(server: Server) -> bool:
    """For a moment the connections that could not be taken are still being closed, and another may be among them."""
    with suppress(OSError, http.client.HTTPException):
        return server.infer_json("m", ONES).status == 200
    return False
