"""A few calls to an API server, without any client library: what tests do by hand."""

import base64
import contextlib
import http.client
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

import yaml

Json = dict[str, Any]
PATIENCE_S: Final = 300.0
"""What a busy machine may take for what is quick on one that rests: nobody waits longer than until it has happened."""


class ApiError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, content: Any) -> None:
        super().__init__(f"{status}: {content}")
        self.status = status
        self.content = content

    @property
    def message(self) -> str:
        return str(self.content.get("message", "")) if isinstance(self.content, dict) else str(self.content)


class _Connection(http.client.HTTPSConnection):
    """Closed with the thread, or the Api, that kept it."""

    def __del__(self) -> None:
        self.close()


class Api:
    """One API server, as one user."""

    def __init__(self, server: str, token: str | None = None, context: ssl.SSLContext | None = None) -> None:
        self._host = urlparse(server).netloc
        self._token = token
        self._context = context or _unverified()
        self._kept = threading.local()

    @classmethod
    def of_kubeconfig(cls, path: Path) -> "Api":
        config = yaml.safe_load(path.read_text())
        named = next(each["context"] for each in config["contexts"] if each["name"] == config["current-context"])
        cluster = next(each["cluster"] for each in config["clusters"] if each["name"] == named["cluster"])
        user = next(each["user"] for each in config["users"] if each["name"] == named["user"])
        return cls(cluster["server"], user.get("token"), _context(cluster, user))

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The content of the answer. Raises ApiError for an error, OSError where there is no answer."""
        sent = {"Content-Type": content_type, "Accept": "application/json", **(headers or {})}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        status, text = self._exchange(method, path, None if body is None else json.dumps(body), sent)
        try:
            content = json.loads(text)
        except ValueError:
            content = text.decode(errors="replace")
        if status >= http.client.BAD_REQUEST:
            raise ApiError(status, content)
        return content

    def text(self, path: str) -> str:
        return str(self.call("GET", path))

    def get(self, path: str) -> Json:
        content: Json = self.call("GET", path)
        return content

    def find(self, path: str) -> Json | None:
        """The object at a path; None: there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status != http.client.NOT_FOUND:
                raise
            return None

    def all(self, path: str) -> list[Json]:
        items: list[Json] = self.get(path)["items"] or []
        return items

    def create(self, path: str, body: Json) -> Json:
        content: Json = self.call("POST", path, body)
        return content

    def apply(self, path: str, body: Json, manager: str = "tests", *, force: bool = True) -> Json:
        query = f"fieldManager={manager}&force={str(force).lower()}"
        joint = "&" if "?" in path else "?"
        content: Json = self.call("PATCH", f"{path}{joint}{query}", body, "application/apply-patch+yaml")
        return content

    def merge(self, path: str, patch: Json) -> Json:
        content: Json = self.call("PATCH", path, patch, "application/merge-patch+json")
        return content

    def delete(self, path: str) -> None:
        try:
            self.call("DELETE", path, {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def _exchange(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Each thread keeps a connection to read by, as tests look again and again. What changes something has one of its own:
        nobody knows what became of it on a connection that turns out to be closed."""
        if method != "GET":
            return _ask(self._connection(), method, path, body, headers)
        kept: _Connection | None = getattr(self._kept, "connection", None)
        if kept is not None:
            with contextlib.suppress(OSError):
                return _ask(kept, method, path, body, headers)
        self._kept.connection = self._connection()
        return _ask(self._kept.connection, method, path, body, headers)

    def _connection(self) -> _Connection:
        return _Connection(self._host, context=self._context, timeout=30)


def _ask(connection: _Connection, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def eventually(condition: Callable[[], Any], what: str | Callable[[], str], timeout_s: float = PATIENCE_S) -> Any:
    """What the condition gives as soon as it gives anything; fails with `what` when it gives nothing in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {timeout_s:.0f} s in vain: {said}")
        time.sleep(0.1)


def _unverified() -> ssl.SSLContext:
    """For the certificate that a test's own API server signed itself. Authorities, which take long to read, are not asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(cluster: Json, user: Json) -> ssl.SSLContext:
    if cluster.get("insecure-skip-tls-verify"):
        context = _unverified()
    else:
        data = cluster.get("certificate-authority-data")
        context = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"), cadata=base64.b64decode(data).decode() if data else None
        )
    if "client-certificate-data" in user:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("client-certificate", "client-key"):
                (Path(folder) / name).write_bytes(base64.b64decode(user[f"{name}-data"]))
            context.load_cert_chain(Path(folder) / "client-certificate", Path(folder) / "client-key")
    elif "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    return context
