"""Loads and unloads at one server: what is under way, and what was refused, beside what its pages show."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Coroutine, Mapping
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
        self._shown: tuple[Holding, ...] = ()
        self._loading: dict[Key, LoadReplica] = {}
        self._unloading: set[Key] = set()
        self._failures: dict[Key, Failure] = {}
        self._dismissed: set[Key] = set()
        """Failures that the index still shows and that an order to unload has settled."""
        self._settling: dict[Key, int] = {}
        """Loads that were answered, and how many looks until the pages must show them."""
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self, address: str, action: LoadReplica, artifact: str) -> None:
        """Pass an order to load on to the server at `address` (`host:port`), unless the same is under way."""
        key = (action.address.name, action.version)
        if key not in self._loading:
            self._loading[key] = action
            self._failures.pop(key, None)
            self._dismissed.discard(key)
            self._begin(self._load(address, key, action, artifact))

    def unload(self, address: str, action: UnloadReplica) -> None:
        """Pass an order to unload on, unless one is under way: it is answered when the last request in it is."""
        key = (action.address.name, action.version)
        self._failures.pop(key, None)
        self._dismissed.add(key)
        if key not in self._unloading:
            self._unloading.add(key)
            self._begin(self._unload(address, key, action.sequence))

    def pages_show(self, holdings: tuple[Holding, ...]) -> None:
        """The pages were read once more: what was loaded a while ago is in them, or is not there."""
        self._shown = holdings
        if self._settling:
            self._settling = {key: looks - 1 for key, looks in self._settling.items() if looks > 1}
        for holding in holdings:
            if holding.phase is HoldingPhase.FAILED:
                self._date(holding)
        if self._failures or self._dismissed:
            phases = {_key(holding): holding.phase for holding in holdings}
            self._dismissed = {key for key in self._dismissed if phases.get(key) is HoldingPhase.FAILED}
            for key in [key for key in self._failures if phases.get(key) is HoldingPhase.READY]:
                del self._failures[key]

    def holdings(self) -> tuple[Holding, ...]:
        """What the pages show, with the orders under way and the refusals that the index does not keep."""
        if not (self._loading or self._settling or self._failures or self._dismissed):
            return self._shown
        held = {_key(holding): holding for holding in self._shown if not self._is_dismissed(holding)}
        for key, digest in self._on_their_way().items():
            if key not in held or held[key].phase is HoldingPhase.FAILED:
                held[key] = Holding(model=key[0], version=key[1], phase=HoldingPhase.LOADING, digest=digest)
        for key, failure in self._failures.items():
            if key not in held or held[key].phase is HoldingPhase.FAILED:
                held[key] = _failed(key, failure, held.get(key))
        return tuple(held[key] for key in sorted(held))

    def close(self) -> None:
        """Nobody waits for the orders under way any more; the server may carry them out."""
        for task in self._tasks:
            task.cancel()

    def _on_their_way(self) -> dict[Key, str]:
        return {**dict.fromkeys(self._settling, ""), **{key: action.digest for key, action in self._loading.items()}}

    def _is_dismissed(self, holding: Holding) -> bool:
        return holding.phase is HoldingPhase.FAILED and _key(holding) in self._dismissed

    def _date(self, holding: Holding) -> None:
        """A failure that only the index told of counts from when it was first seen."""
        key = _key(holding)
        if not (key in self._loading or key in self._settling or key in self._dismissed or key in self._failures):
            self._failures[key] = Failure(self._contact.now(), holding.reason)

    def _begin(self, order: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(order)
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

    async def _unload(self, address: str, key: Key, sequence: int) -> None:
        order = UnloadOrder(forebay_version=key[1], forebay_sequence=sequence)
        try:
            await self._post(address, key[0], "unload", order.to_body())
        finally:
            self._unloading.discard(key)
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


def _key(holding: Holding) -> Key:
    return holding.model, holding.version


def _failed(key: Key, failure: Failure, shown: Holding | None) -> Holding:
    if shown is None:
        return Holding(model=key[0], version=key[1], phase=HoldingPhase.FAILED, reason=failure.reason, failed_at=failure.at)
    return dataclasses.replace(shown, reason=shown.reason or failure.reason, failed_at=failure.at)


def _refusal(text: str) -> str:
    """What Triton's error form says."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text or "refused without a reason"
    return str(said.get("error", text)) if isinstance(said, dict) else text
