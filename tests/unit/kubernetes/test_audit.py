"""When the store is known to have everything, also where an API server's history went backwards."""

import asyncio
from typing import Any, cast

from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, WATCHED
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.audit import Audit
from forebay_operator.worlds.kubernetes.store import Store
from kubernetes_builders import an_object


class Listing:
    """Lists one ModelDeployment and nothing else, all of it at one version."""

    def __init__(self, model: dict[str, Any]) -> None:
        self.at = 1_000_000
        self.asked: list[str] = []
        self._metadata = dict(model["metadata"])

    async def call(self, method: str, path: str, **asked: Any) -> dict[str, Any]:
        assert method == "GET", asked
        self.asked.append(path)
        items = [{"metadata": self._metadata}] if path == MODEL_DEPLOYMENTS.path() else None
        return {"metadata": {"resourceVersion": str(self.at)}, "items": items}


async def _until(audit: Audit, *, is_reading_anew: bool) -> None:
    async with asyncio.timeout(60):
        while audit.is_reading_anew is not is_reading_anew or audit.synced.is_set() is is_reading_anew:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_store_that_was_emptied_is_not_trusted_before_everything_was_read_again() -> None:
    """What is missing in it meanwhile may well be there: acting on that would delete what serves."""
    model = an_object(MODEL_DEPLOYMENTS, "digits")
    listing, store, restarts = Listing(model), Store(lambda _: None), list[None]()
    store.put(MODEL_DEPLOYMENTS, model)
    audit = Audit(cast("ApiServer", listing), store, (), lambda: restarts.append(None))
    running = asyncio.create_task(audit.run())
    try:
        await _until(audit, is_reading_anew=False)
        listing.at = 999_999
        audit.soon()
        await _until(audit, is_reading_anew=True)
        assert [store.count(kind) for kind in WATCHED] == [0] * len(WATCHED)
        assert restarts == [None]

        store.put(MODEL_DEPLOYMENTS, model)
        await _until(audit, is_reading_anew=False)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_audit_that_is_asked_for_anew_is_not_ended_first() -> None:
    """Thousands of objects come for seconds at the start, and the lease is won meanwhile: only listings since then count."""
    model = an_object(MODEL_DEPLOYMENTS, "digits")
    listing, store = Listing(model), Store(lambda _: None)
    audit = Audit(cast("ApiServer", listing), store, (), lambda: None)
    running = asyncio.create_task(audit.run())
    try:
        while not listing.asked:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        audit.soon()
        store.put(MODEL_DEPLOYMENTS, model)
        await _until(audit, is_reading_anew=False)

        kinds = [kind.path() for kind in WATCHED]
        assert listing.asked == [kinds[0], *kinds]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
