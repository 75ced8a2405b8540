"""Asks an API server for plain objects. What goes wrong comes back in words."""

import http.client
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import urllib3
from kubernetes.client.exceptions import ApiException

from forebay_operator.cli.cluster.access import Access
from forebay_operator.cli.connection import NOT_RUNNING, CommandError, Json
from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, PODS
from forebay_operator.worlds.kubernetes.store import Seen

_TIMEOUT_S: Final = (10.0, 60.0)
"""To connect; to answer."""
_PAGE_TIMEOUT_S: Final = (10.0, 5.0)
_PAGE: Final = 500
_APPLY: Final = "application/apply-patch+yaml"
FIELD_MANAGER: Final = "forebay"


class NotThereError(CommandError):
    """There is no such object."""


class HiddenError(CommandError):
    """This user may not do that."""


class ClusterApi:
    """One API server, as one user."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def get(self, path: str) -> Json:
        return self._read(self._ask("GET", path))

    def all(self, path: str, **query: str) -> list[Json]:
        """Every object of a listing."""
        found: list[Json] = []
        more = ""
        while True:
            paging = {"limit": str(_PAGE)} | ({"continue": more} if more else {})
            page = self._read(self._ask("GET", path, query | paging))
            found += page.get("items") or []
            more = (page.get("metadata") or {}).get("continue", "")
            if not more:
                return found

    def text(self, path: str, **query: str) -> str:
        return self._ask("GET", path, query).decode(errors="replace")

    def page_of_pod(self, pod: Seen, port: int, page: str) -> str:
        """What a pod answers, if the API server reaches it soon: policies of the network may keep it from that."""
        path = PODS.path(pod.namespace, f"{pod.name}:{port}", f"proxy/{page}")
        return self._ask("GET", path, timeout_s=_PAGE_TIMEOUT_S).decode(errors="replace")

    def apply(self, path: str, body: Json) -> Json:
        """Server-side apply: the fields of the body are ours from now on."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        return self._read(self._ask("PATCH", path, query, (_APPLY, json.dumps(body))))

    def delete(self, path: str) -> None:
        self._ask("DELETE", path, {"propagationPolicy": "Background"})

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        sent: tuple[str, str] = ("", ""),
        timeout_s: tuple[float, float] = _TIMEOUT_S,
    ) -> bytes:
        """`sent`: a body's type, and the body."""
        client = self._access.client
        headers = {"Accept": "application/json, */*", **({"Content-Type": sent[0]} if sent[0] else {})}
        try:
            call = client.param_serialize(
                method=method,
                resource_path=quote(path),
                query_params=list((query or {}).items()),
                header_params=headers,
                body=sent[1] or None,
                auth_settings=["BearerToken"],
            )
            # The library gives its answers no types.
            answer: Any = client.call_api(*call, _request_timeout=timeout_s)
            content: bytes = answer.read()
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise CommandError(self._unreachable(error), NOT_RUNNING) from None
        if answer.status >= http.client.BAD_REQUEST:
            raise self._refusal(answer.status, content, path)
        return content

    def _read(self, content: bytes) -> Json:
        said = _object_in(content)
        if said is None:
            begins = content[:80].decode(errors="replace")
            raise CommandError(f"{self._access.described} is no API server: it answers with no JSON object, but {begins!r}")
        return said

    def _unreachable(self, error: Exception) -> str:
        why = str(getattr(error, "reason", None) or error).splitlines()[-1]
        return (
            f"the API server of {self._access.described} does not answer ({why.rpartition('>: ')[2]}):"
            " check the cluster, the network and the context"
        )

    def _refusal(self, status: int, content: bytes, path: str) -> CommandError:
        said = _object_in(content) or {}
        message = str(said.get("message") or content.decode(errors="replace").strip()[:500] or f"status {status}")
        if status == http.client.UNAUTHORIZED:
            return CommandError(
                f"the API server of {self._access.described} does not know who asks: log in again, or name another context",
            )
        if status == http.client.FORBIDDEN:
            return HiddenError(f"{message}: ask for the right to do that (the cluster's roles view and edit include it)")
        if status == http.client.NOT_FOUND:
            return self._missing(said, message, path)
        return CommandError(f"the API server of {self._access.described} refuses: {message}")

    def _missing(self, said: Json, message: str, path: str) -> CommandError:
        names_object = bool((said.get("details") or {}).get("name"))
        if MODEL_DEPLOYMENTS.group in path and not names_object:
            return CommandError(
                f"{self._access.described} has no ModelDeployments: install Forebay there with its Helm chart, or only the"
                " definition with `forebay crd | kubectl apply --server-side -f -`",
                NOT_RUNNING,
            )
        return NotThereError(message)


def _object_in(content: bytes) -> Json | None:
    """The JSON object in an answer; None: there is none."""
    try:
        said: Any = json.loads(content)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
