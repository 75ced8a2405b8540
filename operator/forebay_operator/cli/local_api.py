"""Asks a running `forebay up`: HTTP on the Unix socket that it names in its state folder."""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from forebay_operator.cli.connection import NOT_RUNNING, NOT_THERE, CommandError
from forebay_operator.worlds.local.description import Description
from forebay_operator.worlds.local.state import StateFolder, default_folder
from forebay_schema.documents import DocumentError

_TIMEOUT_S: Final = 60.0
_NOT_FOUND: Final = 404
_REFUSED: Final = 400


def state_folder(path: Path | None) -> StateFolder:
    """The folder that `--state` names, or the default."""
    return StateFolder((path or default_folder(os.environ)).absolute())


class LocalApi:
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
            api = cls(Description.from_json(folder.description.read_bytes()))
        except (OSError, DocumentError):
            raise _not_running(folder, state) from None
        try:
            api.get("/events")
        except UnansweredError as error:
            if isinstance(error.__cause__, TimeoutError):
                raise
            raise _not_running(folder, state) from None
        return api

    def get(self, path: str) -> dict[str, Any]:
        return self._ask("GET", path)

    def post(self, path: str, body: object) -> dict[str, Any]:
        return self._ask("POST", path, json.dumps(body))

    def delete(self, path: str) -> dict[str, Any]:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        """Ask and read the answer.

        Raises:
            CommandError: it refuses, what was asked about is not there, or nobody answers.
        """
        http_connection = _UnixConnection(self.description.socket)
        try:
            http_connection.request(method, quote(path), body, {"Content-Type": "application/json"})
            answer = http_connection.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnansweredError(f"forebay up (pid {self.description.pid}) does not answer: {error}", NOT_RUNNING) from error
        finally:
            http_connection.close()
        if answer.status == _NOT_FOUND:
            raise CommandError(_not_there(said), NOT_THERE)
        if answer.status >= _REFUSED:
            raise CommandError(str(said.get("error", said)))
        return said


class UnansweredError(CommandError):
    """A `forebay up` that ran does not answer, or has ended."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("forebay", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


def _not_running(folder: StateFolder, state: Path | None) -> CommandError:
    where = f" --state {state}" if state else ""
    return CommandError(
        f"no `forebay up` runs on {folder.root}: start it in another terminal with `forebay up{where}`"
        " (or name a cluster with --context)",
        NOT_RUNNING,
    )


def _not_there(said: dict[str, Any]) -> str:
    known = ", ".join(said.get("known", []))
    return f"{said.get('error', 'not found')}; there is {known or 'none at all'}"
