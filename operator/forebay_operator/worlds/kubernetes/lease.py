"""Which of several operators acts: the holder of one Lease.

Clocks of others are never compared. A candidate takes a lease over only after it has itself seen it unchanged for the lease's
duration, by its own monotonic clock. A holder that cannot renew it stops acting well before that, by a timer of its own which
cancels the acting task: a slow call cannot delay it. Where the whole process was held up and the timer comes late, `may_act`
has said no since the deadline, and one more renewal decides whether it goes on.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from forebay_operator.manifests.kinds import LEASES, Json
from forebay_operator.worlds.kubernetes.api_server import ApiServer, RefusedError, UnreachableError
from forebay_schema.logs import Logger

_LATE_S: Final = 0.5
"""A timer that comes later than this shows that the process was held up, not the API server."""
_NOT_FOUND: Final = 404
_KEPT: Final = ("name", "namespace", "uid", "resourceVersion", "labels", "annotations", "ownerReferences")
"""Of what others wrote into its metadata: the whole object is replaced."""
_CONFLICT: Final = 409
_log: Final = Logger("forebay.lease")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Seconds. `deadline_s` is well below `duration_s`: who cannot renew stops before another may begin."""

    duration_s: float = 10.0
    deadline_s: float = 7.0
    retry_s: float = 1.0
    call_s: float = 3.0


class LostError(Exception):
    """The lease is not ours any more."""


class Lease:
    """One candidate for one Lease."""

    def __init__(self, api: ApiServer, namespace: str, name: str, identity: str, terms: Terms | None = None) -> None:
        self._api = api
        self._path = LEASES.path(namespace, name)
        self._list_path = LEASES.path(namespace)
        self._name = name
        self._identity = identity
        self._terms = terms or Terms()
        self._seen: object = None
        self._seen_at = 0.0
        self._acts_until = 0.0

    def may_act(self) -> bool:
        """Whether nobody else can hold the lease now. To be asked before everything that others would see."""
        return time.monotonic() < self._acts_until

    async def lead(self, act: Callable[[], Awaitable[None]]) -> None:
        """Run `act` whenever the lease is held, until `act` returns by itself. Cancelled, the lease is given back."""
        while True:
            lease = await self._acquire()
            _log.info("this operator leads", identity=self._identity)
            if await self._act(lease, act):
                return

    async def _act(self, lease: Json, act: Callable[[], Awaitable[None]]) -> bool:
        """Whether `act` ended by itself; otherwise the lease was lost."""
        acting = asyncio.ensure_future(act())
        holding = asyncio.ensure_future(self._hold(lease))
        try:
            await asyncio.wait([acting, holding], return_when=asyncio.FIRST_COMPLETED)
            if acting.done():
                acting.result()
                return True
            _log.warning("this operator leads no more", reason=str(holding.exception()))
            return False
        finally:
            await _cancelled(acting)
            self._acts_until = 0.0
            was_ours = not holding.done()
            await _cancelled(holding)
            if was_ours:
                await self._release()

    async def _acquire(self) -> Json:
        said = ""
        while True:
            try:
                began = time.monotonic()
                if lease := await self._try():
                    self._acts_until = began + self._terms.deadline_s
                    return lease
            except (RefusedError, UnreachableError) as error:
                if said != str(error):
                    _log.warning("the lease cannot be asked for", error=str(error))
                said = str(error)
            await asyncio.sleep(self._terms.retry_s)

    async def _try(self) -> Json | None:
        lease = await self._read()
        spec = lease.get("spec") or {}
        mark = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if mark != self._seen:
            self._seen, self._seen_at = mark, time.monotonic()
        duration = float(spec.get("leaseDurationSeconds") or self._terms.duration_s)
        is_free = spec.get("holderIdentity") in (None, "", self._identity)
        if not is_free and time.monotonic() - self._seen_at <= duration:
            return None
        try:
            return await self._write(lease, self._identity)
        except RefusedError as error:
            if error.status == _CONFLICT:
                return None
            raise

    async def _read(self) -> Json:
        try:
            return await self._api.call("GET", self._path, timeout_s=self._terms.call_s)
        except RefusedError as error:
            if error.status != _NOT_FOUND:
                raise
        blank = {"apiVersion": LEASES.api_version, "kind": LEASES.name, "metadata": {"name": self._name}}
        return await self._api.call("POST", self._list_path, blank, timeout_s=self._terms.call_s)

    async def _write(self, lease: Json, holder: str) -> Json:
        """Replace the lease, if it is still the one that was read."""
        spec: dict[str, Any] = dict(lease.get("spec") or {})
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if holder and spec.get("holderIdentity") != holder:
            spec |= {"leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1, "acquireTime": now}
        spec |= {"holderIdentity": holder, "renewTime": now, "leaseDurationSeconds": int(self._terms.duration_s)}
        metadata = {key: lease["metadata"][key] for key in _KEPT if key in lease["metadata"]}
        body = {"apiVersion": LEASES.api_version, "kind": LEASES.name, "metadata": metadata, "spec": spec}
        return await self._api.call("PUT", self._path, body, timeout_s=self._terms.call_s)

    async def _hold(self, lease: Json) -> None:
        """Renew the lease until it is lost.

        Raises:
            LostError: it was taken or deleted, or could not be renewed in time.
        """
        while True:
            try:
                async with asyncio.timeout_at(self._acts_until) as timer:
                    while True:
                        await asyncio.sleep(self._terms.retry_s)
                        lease = await self._renewed(lease) or lease
                        timer.reschedule(self._acts_until)
            except TimeoutError:
                if time.monotonic() - self._acts_until < _LATE_S or not (found := await self._renewed(lease)):
                    raise LostError(f"it could not be renewed for {self._terms.deadline_s:g} s") from None
                lease = found

    async def _renewed(self, lease: Json) -> Json | None:
        """The lease renewed, and the deadline with it; None: nobody knows."""
        began = time.monotonic()
        if renewed := await self._renew(lease):
            self._acts_until = began + self._terms.deadline_s
        return renewed

    async def _renew(self, lease: Json) -> Json | None:
        """The renewed lease; None: nobody knows."""
        try:
            return await self._write(lease, self._identity)
        except UnreachableError:
            return None
        except RefusedError as error:
            if error.status == _NOT_FOUND:
                raise LostError("the Lease was deleted") from None
            if error.status != _CONFLICT:
                return None
        return await self._after_conflict()

    async def _after_conflict(self) -> Json | None:
        """Somebody wrote to it: look who. Ours still, it is renewed from what was found."""
        with contextlib.suppress(UnreachableError):
            try:
                found = await self._api.call("GET", self._path, timeout_s=self._terms.call_s)
            except RefusedError:
                return None
            holder = (found.get("spec") or {}).get("holderIdentity")
            if holder != self._identity:
                raise LostError(f"it was taken by {holder}")
            with contextlib.suppress(RefusedError):
                return await self._write(found, self._identity)
        return None

    async def _release(self) -> None:
        """Give the lease back, so that another need not wait; as far as the API server lets it."""
        with contextlib.suppress(RefusedError, UnreachableError):
            lease = await self._api.call("GET", self._path, timeout_s=self._terms.call_s)
            if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                await self._write(lease, "")


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
