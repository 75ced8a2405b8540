"""Sources by HTTP come through the proxy that the environment names, as those of S3 do."""

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from forebay_convert.fetching import Fetch, fetch
from forebay_convert.progress import Deadline

CONTENT = b"a model"
SOURCE = "http://models.example/digits.onnx"


class Proxy(BaseHTTPRequestHandler):
    """Answers whatever it is asked to fetch by itself, and remembers it."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """What the proxy was asked for that the environment names."""
    seen: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Remembering", (Proxy,), {"asked": seen})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for name in ("http_proxy", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


def test_a_source_is_asked_for_at_the_proxy(asked: list[str], tmp_path: Path) -> None:
    wanted = Fetch("source", SOURCE, most_bytes=1 << 20)

    fetched = fetch(wanted, tmp_path / "source", Deadline(60.0), lambda *_, **__: None)

    assert fetched.path.read_bytes() == CONTENT
    assert SOURCE in asked
