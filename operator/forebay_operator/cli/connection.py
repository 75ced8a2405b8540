"""Talks to a running `forebay up`."""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any, Final, Self

from forebay_operator.worlds.local.description import Description
from forebay_operator.worlds.local.state import StateFolder, default_folder
from forebay_schema.documents import DocumentError

_TIMEOUT_S: Final = 60.0
_NOT_FOUND: Final = 404


class CommandError(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


NOT_RUNNING: Final = 3
"""Exit status when no `forebay up` runs."""
NOT_THERE: Final = 4
"""Exit status when there is no such ModelDeployment."""


def state_folder(path: Path | None) -> StateFolder:
    """The folder that `--state` names, or the default."""
    return StateFolder((path or default_folder(os.environ)).absolute())


class Connection:
    """A running `forebay up`, as the other commands see it."""

    def __init__(self, description: Description) -> None:
        self.description = description

    @classmethod
    def open(cls, state: Path | None) -> Self:
        """Find the `forebay up` of a state folder.

        Raises:
            CommandError: none runs there.
        """
        folder = state_folder(state)
        try:
            connection = cls(Description.from_json(folder.description.read_bytes()))
            connection.get("/events")
        except (OSError, DocumentError):
            where = f" --state {state}" if state else ""
            raise CommandError(
                f"no `forebay up` runs on {folder.root}: start it in another terminal with `forebay up{where}`", NOT_RUNNING
            ) from None
        return connection

    def get(self, path: str) -> dict[str, Any]:
        return self._ask("GET", path)

    def post(self, path: str, body: object) -> dict[str, Any]:
        return self._ask("POST", path, json.dumps(body))

    def delete(self, path: str) -> dict[str, Any]:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        """Ask and read the answer.

        Raises:
            CommandError: what was asked about is not there.
            OSError: nobody answers.
        """
        http_connection = _UnixConnection(self.description.socket)
        try:
            http_connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = http_connection.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"no answer from forebay up: {error}") from None
        finally:
            http_connection.close()
        if answer.status == _NOT_FOUND:
            raise CommandError(_not_there(said), NOT_THERE)
        return said


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("forebay", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


def _not_there(said: dict[str, Any]) -> str:
    known = ", ".join(said.get("known", []))
    return f"{said.get('error', 'not found')}; there is {known or 'none at all'}"
