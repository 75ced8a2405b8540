"""Loads and unloads at one server: what is under way, and what was refused, beside what its pages show."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.snapshot import Holding, HoldingPhase
from forebay_schema.headers import REPOSITORY_TOKEN
from forebay_schema.repository import LoadOrder, UnloadOrder
from forebay_schema.serving import ServingConfig

_TIMEOUT: Final = aiohttp.ClientTimeout(total=900, sock_connect=5)
_LOOKS: Final = 2
Key = tuple[str, int]
"""A model's name and a version of it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A load that did not succeed."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How a server is told something."""

    http: aiohttp.ClientSession
    token: str
    now: Callable[[], float]
    done: Callable[[], None]
    """An order was carried out or refused: its pages should be read, and the step run."""


class Orders:
    """The orders of one server."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._loading: dict[Key, LoadReplica] = {}
        self._failures: dict[Key, Failure] = {}
        self._settling: dict[Key, int] = {}
        """Loads that were answered, and how many looks until the pages must show them."""
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self, address: str, action: LoadReplica, artifact: str) -> None:
        """Pass an order to load on to the server at `address` (`host:port`), unless the same is under way."""
        key = (action.address.name, action.version)
        if key not in self._loading:
            self._loading[key] = action
            self._failures.pop(key, None)
            self._begin(self._load(address, key, action, artifact))

    def unload(self, address: str, action: UnloadReplica) -> None:
        self._failures.pop((action.address.name, action.version), None)
        order = UnloadOrder(forebay_version=action.version, forebay_sequence=action.sequence)
        self._begin(self._unload(address, action.address.name, order.to_body()))

    def with_orders(self, shown: tuple[Holding, ...]) -> tuple[Holding, ...]:
        """What the pages show, with the orders under way and the refusals that the index does not keep."""
        if (
            not self._loading
            and not self._settling
            and not self._failures
            and all(each.phase is not HoldingPhase.FAILED for each in shown)
        ):
            return shown
        held = {(holding.model, holding.version): holding for holding in shown}
        for key, action in self._loading.items():
            if key not in held or held[key].phase is HoldingPhase.FAILED:
                held[key] = Holding(model=key[0], version=key[1], phase=HoldingPhase.LOADING, digest=action.digest)
        for key in self._settling:
            held.setdefault(key, Holding(model=key[0], version=key[1], phase=HoldingPhase.LOADING))
        for key, failure in self._failures.items():
            known = held.get(key)
            if known is None or known.phase is HoldingPhase.FAILED:
                reason = known.reason if known and known.reason else failure.reason
                held[key] = Holding(
                    model=key[0], version=key[1], phase=HoldingPhase.FAILED, reason=reason, failed_at=failure.at
                )
        return tuple(self._dated(held[key]) for key in sorted(held))

    def pages_were_read(self) -> None:
        """The pages were read once more: what was loaded a while ago is in them, or is not there."""
        if self._settling:
            self._settling = {key: looks - 1 for key, looks in self._settling.items() if looks > 1}

    def close(self) -> None:
        """Nobody waits for the orders under way any more; the server may carry them out."""
        for task in self._tasks:
            task.cancel()

    def _dated(self, holding: Holding) -> Holding:
        """A failure that only the index told of counts from when it was first seen."""
        if holding.phase is not HoldingPhase.FAILED or holding.failed_at is not None:
            return holding
        key = (holding.model, holding.version)
        self._failures[key] = Failure(self._contact.now(), holding.reason)
        return dataclasses.replace(holding, failed_at=self._failures[key].at)

    def _begin(self, order: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(order)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, address: str, key: Key, action: LoadReplica, artifact: str) -> None:
        order = LoadOrder(
            forebay_artifact=artifact,
            forebay_digest=action.digest,
            forebay_version=action.version,
            forebay_memory_limit=action.memory_limit_bytes,
            forebay_sequence=action.sequence,
        )
        serving = ServingConfig.model_validate(dataclasses.asdict(action.serving))
        try:
            refusal = await self._post(address, key[0], "load", order.to_body(key[0], serving))
        finally:
            del self._loading[key]
        if refusal:
            self._failures[key] = Failure(self._contact.now(), refusal)
        else:
            # The look that is under way may have been answered before the load was.
            self._settling[key] = _LOOKS
        self._contact.done()

    async def _unload(self, address: str, model: str, body: Mapping[str, Any]) -> None:
        await self._post(address, model, "unload", body)
        self._contact.done()

    async def _post(self, address: str, model: str, verb: str, body: Mapping[str, Any]) -> str:
        """Post an order. Returns why it was refused; empty: it was carried out, or nobody knows."""
        url = f"http://{address}/v2/repository/models/{model}/{verb}"
        headers = {REPOSITORY_TOKEN: self._contact.token}
        try:
            async with self._contact.http.post(url, json=body, headers=headers, timeout=_TIMEOUT) as answer:
                text = await answer.text()
                return "" if answer.ok else _refusal(text)
        except (TimeoutError, aiohttp.ClientError):
            return ""


def _refusal(text: str) -> str:
    """What Triton's error form says."""
    try:
        said = json.loads(text)
    except ValueError:
        return text or "refused without a reason"
    return str(said.get("error", text)) if isinstance(said, dict) else text
