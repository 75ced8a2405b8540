"""Servers that sources come from: plain HTTP, and as much of S3 as reading and writing single objects needs."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_DRIP_S = 0.05
_NO_ROOM = b"<Error><Code>XMinioStorageFull</Code><Message>The drives have too little room left.</Message></Error>"


@dataclass
class Objects:
    """What a server holds, by path (`/bucket/key`), and where it is."""

    url: str
    content: dict[str, bytes] = field(default_factory=dict[str, bytes])
    silent: threading.Event = field(default_factory=threading.Event)
    """While it is set, requests are never answered."""
    dripping: threading.Event = field(default_factory=threading.Event)
    """While it is set, content comes a byte now and then."""
    forbidden: threading.Event = field(default_factory=threading.Event)
    """While it is set, requests are answered with 403."""
    full: threading.Event = field(default_factory=threading.Event)
    """While it is set, nothing is stored: 507."""
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def object_server() -> Generator[Objects]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    objects = Objects(f"http://127.0.0.1:{server.server_port}")
    _Handler.objects = objects
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield objects
    finally:
        objects.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    objects: Objects
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._answer(200, self._listing(query.get("prefix", [""])[0]), with_body=True)
        else:
            self._serve(with_body=True)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.objects.full.is_set():
            self._answer(507, _NO_ROOM, with_body=True)
            return
        self.objects.content[self._key()] = content
        self._answer(200, b"", with_body=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing: the tests' output is for the tests."""

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _serve(self, *, with_body: bool) -> None:
        if self.objects.silent.is_set():
            self.objects.over.wait()
            self.close_connection = True
            return
        if self.objects.forbidden.is_set():
            self._answer(403, b"", with_body=with_body)
            return
        content = self.objects.content.get(self._key())
        if content is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", with_body=with_body)
            return
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last or len(content)) + 1]
        self._answer(206 if wanted else 200, content, with_body=with_body)

    def _answer(self, status: int, content: bytes, *, with_body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Tue, 24 Nov 2026 12:00:00 GMT")
        self.end_headers()
        if with_body and self.objects.dripping.is_set():
            self._drip(content)
        elif with_body:
            self.wfile.write(content)

    def _drip(self, content: bytes) -> None:
        """Until it is over, or the client has gone."""
        self.close_connection = True
        for byte in content:
            if self.objects.over.wait(_DRIP_S):
                return
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                return

    def _listing(self, prefix: str) -> bytes:
        bucket = self._key().strip("/")
        keys = [path.removeprefix(f"/{bucket}/") for path in self.objects.content if path.startswith(f"/{bucket}/{prefix}")]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects.content[f'/{bucket}/{key}'])}</Size></Contents>"
            for key in keys
        )
        return f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount>{entries}</ListBucketResult>".encode()
