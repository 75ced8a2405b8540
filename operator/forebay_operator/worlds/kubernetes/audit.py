"""Listings that find what a watch missed, and tell when everything was seen once.

kopf never hears of what was deleted while it was disconnected, does not say when its first listings are complete, and stays
silent when the API server's history goes backwards. A listing of names, uids and versions answers all three.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, NODES, WATCHED, Kind
from forebay_operator.worlds.kubernetes.api_server import ApiServer, RefusedError, UnreachableError
from forebay_operator.worlds.kubernetes.store import Key, Store
from forebay_schema.logs import Logger

PERIOD_S: Final = 60.0
_EAGER_S: Final = 0.5
_PAGE: Final = "500"
_PARTIAL: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAUSE_S: Final = 0.1
_PAUSES: Final = 20
_BLIND_AFTER: Final = 2
_BLIND_AT_START: Final = 15
"""Audits in a row that find something missed before kopf is started anew."""
_log: Final = Logger("forebay.audit")


class BackwardsError(Exception):
    """A listing is older than an earlier one: the API server's storage was restored or wiped."""


class Audit:
    """Compares the store with listings, now and then."""

    def __init__(
        self,
        api: ApiServer,
        store: Store,
        namespaces: Collection[str],
        restart: Callable[[], None],
        period_s: float = PERIOD_S,
    ) -> None:
        self._api = api
        self._store = store
        self._namespaces = tuple(namespaces)
        self._restart = restart
        self._period_s = period_s
        self._highest: dict[str, int] = {}
        self._blind = 0
        self._soon = asyncio.Event()
        self.synced = asyncio.Event()
        """Set while the store is known to have everything."""
        self.is_reading_anew = False
        """Whether the store was emptied and has not everything yet: what is missing in it may well be there."""
        self.problem = ""
        """Why the last audit did not succeed."""

    def soon(self) -> None:
        """Audit now, and trust nothing before: an audit that goes on is given up."""
        self.synced.clear()
        self._soon.set()

    async def run(self) -> None:
        """Audit until cancelled: eagerly as long as something is missing."""
        while True:
            self._soon.clear()
            await self._once()
            try:
                async with asyncio.timeout(self._period_s if self.synced.is_set() else _EAGER_S):
                    await self._soon.wait()
            except TimeoutError:
                continue

    async def _once(self) -> None:
        missed = 0
        try:
            for kind in WATCHED:
                missed += await self._audit(kind)
                if self._soon.is_set():
                    return
        except BackwardsError as error:
            _log.warning("history went backwards; everything is read again", detail=str(error))
            self._forget()
        except (RefusedError, UnreachableError) as error:
            self._fail(error)
        else:
            self.problem = ""
            self._conclude(missed)

    def _forget(self) -> None:
        self.synced.clear()
        self.is_reading_anew = True
        self._highest.clear()
        self._store.clear()
        self._restart()

    def _fail(self, error: Exception) -> None:
        if not self.problem:
            _log.warning("the API server cannot be listed", error=str(error))
        self.problem = str(error)
        # What went on meanwhile is not known.
        self.synced.clear()

    def _conclude(self, missed: int) -> None:
        if not missed:
            self._blind = 0
            if not self.synced.is_set():
                _log.info("everything was seen", objects=sum(self._store.count(kind) for kind in WATCHED))
            self.is_reading_anew = False
            self.synced.set()
            return
        self._blind += 1
        if self._blind >= (_BLIND_AFTER if self.synced.is_set() else _BLIND_AT_START):
            _log.warning("watching misses what is there", objects=missed)
            self._blind = 0
            self._restart()

    async def _audit(self, kind: Kind) -> int:
        """How many objects of a kind are not seen yet. What was not seen to go is dropped here."""
        missed = 0
        if kind is NODES or not self._namespaces:
            return await self._compare(kind, "")
        for namespace in self._namespaces:
            missed += await self._compare(kind, namespace)
        return missed

    async def _compare(self, kind: Kind, namespace: str) -> int:
        at, listed = await self._list(kind, namespace)
        place = kind.path(namespace)
        if at < self._highest.get(place, 0):
            raise BackwardsError(f"{kind.plural} at version {at} after {self._highest[place]}")
        self._highest[place] = at
        gone = self._store.drop_gone(kind, listed, at, namespace)
        if gone:
            _log.warning("deletions were missed", kind=kind.plural, objects=len(gone))
        return await self._still_missed(kind, listed)

    async def _still_missed(self, kind: Kind, listed: dict[Key, tuple[str, int]]) -> int:
        """How much of a listing the watch does not bring within a while: events are always a little late, and thousands of
        them come for a long time at the start. Listing them again would only be in their way."""
        missed, pauses = self._store.missed(kind, listed), 0
        while missed and pauses < _PAUSES and not self._soon.is_set():
            await asyncio.sleep(_PAUSE_S)
            before, missed = missed, self._store.missed(kind, {key: listed[key] for key in missed})
            pauses = 0 if len(missed) < len(before) else pauses + 1
        return len(missed)

    async def _list(self, kind: Kind, namespace: str) -> tuple[int, dict[Key, tuple[str, int]]]:
        """The version of a listing and its objects' uids and versions, page by page."""
        listed: dict[Key, tuple[str, int]] = {}
        query = {"limit": _PAGE}
        query |= {"labelSelector": kind.labels} if kind.labels else {}
        query |= {"fieldSelector": kind.fields} if kind.fields else {}
        while True:
            page = await self._api.call("GET", kind.path(namespace), query=query, accept=_PARTIAL)
            # `items` is null where there are none.
            for item in page.get("items") or ():
                metadata = item["metadata"]
                key = (str(metadata.get("namespace", "")), str(metadata["name"]))
                listed[key] = (str(metadata["uid"]), int(metadata["resourceVersion"]))
            following = page["metadata"].get("continue")
            if not following:
                return int(page["metadata"]["resourceVersion"]), listed
            query["continue"] = following


async def wait_for_definition(api: ApiServer, namespace: str) -> None:
    """Return once ModelDeployments (of a namespace, or of all) can be listed: if they came later, kopf would not notice."""
    said = False
    while True:
        try:
            await api.call("GET", MODEL_DEPLOYMENTS.path(namespace), query={"limit": "1"}, accept=_PARTIAL)
        except RefusedError as error:
            if not said:
                remedy = "install the CustomResourceDefinition" if error.is_absence else "grant list on modeldeployments"
                _log.warning("ModelDeployments cannot be read", error=str(error), remedy=remedy)
            said = True
        except UnreachableError as error:
            _log.warning("the API server does not answer", error=str(error))
        else:
            return
        await asyncio.sleep(1)
