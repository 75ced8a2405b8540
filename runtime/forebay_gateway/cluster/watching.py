"""Follows the ModelDeployments of one namespace, or of all, whatever happens to the API server."""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

from forebay_gateway.cluster.access import Access, AccessError
from forebay_gateway.cluster.api_server import ApiServer, RefusedError, UnreachableError, connected
from forebay_gateway.cluster.deployments import Deployments
from forebay_schema.logs import Logger

_log: Final = Logger(__name__)

_PLURAL: Final = "modeldeployments"
_GROUP: Final = "forebay.dev"
_HOPELESS: Final = 3
_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_SILENCE_S: Final = 80.0
"""An API server says something each minute, if only how far it has come."""

_STILL_GOOD: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS})
"""Refusals after which a watch can go on from where it was; after all others everything is listed anew."""


class Watch:
    def __init__(self, access: Callable[[], Access], namespace: str, deployments: Deployments, ends_after_s: int) -> None:
        """`namespace`: empty for all. `ends_after_s`: the API server says how far it has come shortly before each end."""
        self._access = access
        self._namespace = namespace
        self._path = f"/apis/{_GROUP}/v1alpha1/{f'namespaces/{namespace}/' if namespace else ''}{_PLURAL}"
        self._deployments = deployments
        self._ends_after_s = ends_after_s
        self._is_listed = False
        self._failures = 0
        self.complaint = ""
        """Why ModelDeployments are not followed now; empty if they are. What was known stays."""

    @property
    def is_hopeless(self) -> bool:
        """Whether it was tried more than once or twice in vain."""
        return self._failures >= _HOPELESS

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
                self._failures = 0
            except (AccessError, RefusedError, UnreachableError) as error:
                self._failures += 1
                self._complain(error)
            await asyncio.sleep(self._pause_s())

    async def _follow(self) -> None:
        async with connected(self._access()) as api:
            if not self._is_listed:
                await self._list(api)
            await self._watch(api)

    async def _list(self, api: ApiServer) -> None:
        items, version = await api.list(self._path)
        self._deployments.replace(items, version)
        self._is_listed = True
        _log.info("ModelDeployments listed", namespace=self._namespace, models=len(items), version=version)
        self._all_is_well()

    async def _watch(self, api: ApiServer) -> None:
        changes = api.watch(self._path, self._deployments.version, self._ends_after_s, _SILENCE_S)
        async with aclosing(changes):
            async for event in changes:
                self._deployments.take(event)
                self._all_is_well()

    def _all_is_well(self) -> None:
        self._failures = 0
        if self.complaint:
            self.complaint = ""
            _log.info("ModelDeployments are followed again", namespace=self._namespace)

    def _complain(self, error: Exception) -> None:
        if isinstance(error, RefusedError):
            self._is_listed = self._is_listed and error.status in _STILL_GOOD
            if error.status == HTTPStatus.GONE:
                # A matter of course after a time away: what is listed anew makes up for it.
                self._failures = 0
                return
        complaint = self._explanation(error)
        if complaint != self.complaint:
            self.complaint = complaint
            _log.error("ModelDeployments cannot be followed, the last routes stay", reason=complaint)
        self._deployments.disturbed()

    def _explanation(self, error: Exception) -> str:
        where = f"in namespace {self._namespace}" if self._namespace else "in all namespaces"
        if not isinstance(error, RefusedError):
            return f"the API server cannot be reached, it is tried again: {error}"
        match error.status:
            case HTTPStatus.FORBIDDEN:
                return f"grant the gateway the verbs list and watch on {_PLURAL}.{_GROUP} {where}: {error.message}"
            case HTTPStatus.UNAUTHORIZED:
                return f"the API server does not know the gateway's token: renew its service account ({error.message})"
            case HTTPStatus.NOT_FOUND:
                return f"the API server has no {_PLURAL}.{_GROUP}: install the definition in crds/ ({error.message})"
            case _:
                return f"the API server refuses to list or watch {_PLURAL}.{_GROUP} {where}: {error}"

    def _pause_s(self) -> float:
        # Not all gateways at once.
        return min(_PAUSE_S * float(1 << min(self._failures, 10)), _LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)
