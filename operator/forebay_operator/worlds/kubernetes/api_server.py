"""Calls to the API server: plain data out and in, and every way to fail as one of two errors."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from pydantic_core import from_json

from forebay_operator.manifests.kinds import Json
from forebay_operator.manifests.names import FIELD_MANAGER

CALL_S: Final = 10.0
_APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"
_JSON_PATCH: Final = "application/json-patch+json"
_LEAST_ERROR: Final = 400
_CONFLICT: Final = 409
_GONE: Final = frozenset({404, 410})
_UNPROCESSABLE: Final = 422
_REJECTED: Final = "the server rejected our request"


@dataclass(frozen=True, slots=True)
class Cause:
    """One of the reasons of a refusal."""

    reason: str
    field: str
    message: str


class UnreachableError(Exception):
    """The API server did not answer: it may have done what it was asked for, or not."""


class RefusedError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, reason: str, message: str, causes: tuple[Cause, ...] = ()) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes

    @property
    def is_absence(self) -> bool:
        """Whether the object, its kind or its namespace is not there, or its namespace is about to go."""
        return self.status in _GONE or any(cause.reason == "NamespaceTerminating" for cause in self.causes)

    @property
    def is_field_conflict(self) -> bool:
        """Whether another manager owns fields that were to be applied."""
        return self.status == _CONFLICT and any(cause.reason == "FieldManagerConflict" for cause in self.causes)

    @property
    def is_failed_patch(self) -> bool:
        """Whether a JSON patch cannot be applied: the object is not as its tests say that it must be. API servers keep to
        themselves which of them failed; what validation or a policy refuses comes with causes, or in words of its own."""
        return self.status == _UNPROCESSABLE and not self.causes and _REJECTED in self.message


class ApiServer:
    """One connection pool, one field manager."""

    def __init__(self, configuration: Configuration, counted: Callable[[str, str, int], None] | None = None) -> None:
        """`counted`: called for each call with its verb, the kind's plural and the status (0: no answer)."""
        # As kopf, which watches: an API server is never reached through the proxies of the environment.
        configuration.client_session_kwargs = {**(configuration.client_session_kwargs or {}), "trust_env": False}
        self._client: Any = ApiClient(configuration)
        self._client.user_agent = FIELD_MANAGER
        self._counted = counted

    async def close(self) -> None:
        await self._client.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Json | Sequence[Json] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        timeout_s: float = CALL_S,
    ) -> Json:
        """One call, and the object in its answer.

        Raises:
            RefusedError: the answer is an error.
            UnreachableError: there was no answer.
        """
        status = 0
        try:
            _, url, headers, data, _ = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": accept, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            timeout = aiohttp.ClientTimeout(total=timeout_s)
            answer = await self._client.call_api(method, url, header_params=headers, body=data, _request_timeout=timeout)
            text: bytes = await answer.read()
            status = int(answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error
        finally:
            if self._counted:
                self._counted(method, _plural(path), status)
        if status >= _LEAST_ERROR:
            raise _refusal(status, text)
        content: Json = from_json(text) if text else {}
        return content

    async def apply(self, path: str, manifest: Json, *, force: bool) -> Json:
        """Server-side apply. Without `force`, fields that another manager owns are refused with a conflict."""
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        return await self.call("PATCH", path, manifest, query=query, content_type=_APPLY)

    async def patch(self, path: str, operations: Sequence[Json]) -> Json:
        """A JSON patch: all of it, or nothing where a test in it fails."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self.call("PATCH", path, list(operations), query=query, content_type=_JSON_PATCH)

    async def create(self, path: str, manifest: Json) -> Json:
        return await self.call("POST", path, manifest, query={"fieldManager": FIELD_MANAGER})

    async def delete(self, path: str, uid: str, version: str = "") -> None:
        """Delete this very object, and then what it owns. `version`: only if nobody has changed it since."""
        preconditions = {"uid": uid} | ({"resourceVersion": version} if version else {})
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions, "propagationPolicy": "Background"}
        await self.call("DELETE", path, body)


def _refusal(status: int, text: bytes) -> RefusedError:
    try:
        said = json.loads(text)
    except ValueError:
        return RefusedError(status, "", text.decode(errors="replace")[:500])
    if not isinstance(said, dict):
        return RefusedError(status, "", str(said)[:500])
    details = said.get("details") or {}
    causes = tuple(
        Cause(str(each.get("reason", "")), str(each.get("field", "")), str(each.get("message", "")))
        for each in details.get("causes") or ()
    )
    return RefusedError(status, str(said.get("reason", "")), str(said.get("message", "")), causes)


def _plural(path: str) -> str:
    """What kind of object a path is about, for counting."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces":  # noqa: PLR2004 - namespaces, a namespace, a kind
        parts = parts[2:]
    return parts[0] if parts else ""
