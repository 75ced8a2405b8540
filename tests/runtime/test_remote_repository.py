"""A model repository behind HTTP: what is fetched, and when."""

import http.server
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime_models import add_model, put_model
from runtime_servers import Server, running_server

ZEROS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [0.0] * 16}]}


@contextmanager
def file_server(folder: Path, fetched: list[str], *, tells_times: bool) -> Generator[str]:
    """Serves the folder; notes which model files are fetched."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=os.fspath(folder))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            if self.path.endswith(".onnx"):
                fetched.append(self.path)
            super().do_GET()

        def send_header(self, keyword: str, value: str) -> None:
            if keyword != "Last-Modified" or tells_times:
                super().send_header(keyword, value)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing: the tests' output is for the tests."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def load(server: Server) -> None:
    answer = server.request("POST", "/v2/repository/models/m/load", "{}")
    assert answer.status == 200, answer.body


def answered(server: Server) -> float:
    return float(server.infer_json("m", ZEROS).json["outputs"][0]["data"][0])


@pytest.mark.parametrize("tells_times", [True, False])
def test_a_remote_model_is_fetched_and_loaded_anew_only_when_it_changed(tmp_path: Path, tells_times: bool) -> None:
    put_model(tmp_path / "remote", "m", add_model(1.0))
    fetched: list[str] = []
    with (
        file_server(tmp_path / "remote", fetched, tells_times=tells_times) as url,
        running_server(tmp_path / "run", "--model-control-mode", "explicit", "--model-repository", url) as server,
    ):
        load(server)
        assert (answered(server), len(fetched)) == (1.0, 1)
        loaded = server.metric("nv_model_load_duration_secs", model="m")
        load(server)
        # Without times there is no other way than to fetch; what is the same is not loaded again.
        assert (answered(server), len(fetched)) == (1.0, 1 if tells_times else 2)
        assert server.metric("nv_model_load_duration_secs", model="m") == loaded
        put_model(tmp_path / "remote", "m", add_model(2.0, opset=21))
        os.utime(tmp_path / "remote" / "m" / "1" / "model.onnx", (1e9, 1e9))
        load(server)
        assert answered(server) == 2.0
