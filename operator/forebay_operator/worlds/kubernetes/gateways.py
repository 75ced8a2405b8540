"""What gateways report: demand, which adds up, and how far each has come with the routes.

In a cluster a gateway reads its routes from the statuses of the ModelDeployments. What it reports as `routes` is therefore no
digest of a table but the resourceVersion up to which its Envoy has acknowledged them: versions of one kind of object rise in
the order in which watches see them, so one number says it for all models.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Final

import aiohttp

from forebay_operator.domain.snapshot import GatewayDemand
from forebay_operator.worlds.demand import DemandSeen
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.gateway_pods import GatewayPods
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import DemandLine
from forebay_schema.documents import DocumentError
from forebay_schema.network import authority

SILENCE_S: Final = 5.0
"""After this long without a line, a gateway's demand is unknown."""
_CONTAINER: Final = "gateway"
_PORT_NAME: Final = "control"
_LOOK_S: Final = 1.0
_PAUSE_S: Final = 0.3
_MOST_LINE: Final = 8 << 20


@dataclass(slots=True)
class _Gateway:
    pod: Seen
    seen: DemandSeen = field(default_factory=DemandSeen)
    heard_at: float | None = None
    task: "asyncio.Task[None] | None" = None


class Gateways:
    """Listens to every gateway pod."""

    def __init__(self, gateway_pods: GatewayPods, now: Callable[[], float], changed: Callable[[], None]) -> None:
        self._pods = gateway_pods
        self._now = now
        self._changed = changed
        self._gateways: dict[str, _Gateway] = {}
        self._looked = False
        self._ended: Mapping[ModelAddress, int] = {}
        """Arrivals that gateways reported which are gone: the sum never falls."""

    async def run(self) -> None:
        """Listen until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=SILENCE_S)
        async with aiohttp.ClientSession(timeout=timeout, read_bufsize=_MOST_LINE) as http:
            try:
                while True:
                    await self._follow(http)
                    await asyncio.sleep(_LOOK_S)
            finally:
                for gateway in self._gateways.values():
                    if gateway.task is not None:
                        gateway.task.cancel()
                self._gateways = {}

    def forget_all_but(self, addresses: Set[ModelAddress]) -> None:
        """Keep no counts of models that are gone."""
        for gateway in self._gateways.values():
            gateway.seen = gateway.seen.among(addresses)
        if not addresses >= self._ended.keys():
            self._ended = {address: count for address, count in self._ended.items() if address in addresses}

    @property
    def are_settled(self) -> bool:
        """Whether every gateway that runs was heard: before that, demand would seem to be unknown."""
        return self._looked and all(
            gateway.heard_at is not None or not pods.is_running(gateway.pod) for gateway in self._gateways.values()
        )

    def demand(self) -> Mapping[ModelAddress, GatewayDemand] | None:
        """What clients want at all gateways together; None: none of them is heard."""
        heard = [gateway for gateway in self._gateways.values() if self._is_heard(gateway)]
        if not heard:
            return None
        total = {address: GatewayDemand(arrivals=count) for address, count in self._ended.items()}
        for gateway in self._gateways.values():
            fresh = self._is_heard(gateway)
            for address, demand in gateway.seen.demand.items():
                known = total.get(address, GatewayDemand())
                total[address] = GatewayDemand(
                    held=known.held + (demand.held if fresh else 0),
                    in_flight=known.in_flight + (demand.in_flight if fresh else 0),
                    arrivals=known.arrivals + demand.arrivals,
                )
        return total

    def acknowledged(self) -> int | None:
        """The resourceVersion up to which every gateway has the routes; None: not known.

        Where no gateway runs nobody routes: the next one begins with the routes of then.
        """
        serving = [gateway for gateway in self._gateways.values() if pods.is_running(gateway.pod)]
        versions = [_version(gateway.seen.routes) for gateway in serving]
        known = [version for version in versions if version is not None]
        return min(known, default=sys.maxsize) if len(known) == len(versions) else None

    def refused(self) -> Set[ModelAddress]:
        """The models of which a gateway has refused a route."""
        return frozenset().union(*(gateway.seen.refused for gateway in self._gateways.values()))

    def _is_heard(self, gateway: _Gateway) -> bool:
        return gateway.heard_at is not None and self._now() - gateway.heard_at <= SILENCE_S

    async def _follow(self, http: aiohttp.ClientSession) -> None:
        present = {pod.uid: pod for pod in await self._pods.find()}
        self._looked = True
        for uid in self._gateways.keys() - present.keys():
            self._drop(uid)
        for uid, pod in present.items():
            gateway = self._gateways.setdefault(uid, _Gateway(pod))
            gateway.pod = pod
            if gateway.task is None:
                gateway.task = asyncio.ensure_future(self._listen(gateway, http))

    def _drop(self, uid: str) -> None:
        gateway = self._gateways.pop(uid)
        if gateway.task is not None:
            gateway.task.cancel()
        ended = dict(self._ended)
        for address, demand in gateway.seen.demand.items():
            ended[address] = ended.get(address, 0) + demand.arrivals
        self._ended = ended
        self._changed()

    async def _listen(self, gateway: _Gateway, http: aiohttp.ClientSession) -> None:
        while True:
            address, port = pods.address_of(gateway.pod), pods.ports_of(gateway.pod, _CONTAINER).get(_PORT_NAME)
            if address is not None and port is not None:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
                    await self._read(gateway, http, f"http://{authority(address, port)}/demand")
            await asyncio.sleep(_PAUSE_S)

    async def _read(self, gateway: _Gateway, http: aiohttp.ClientSession, url: str) -> None:
        async with http.get(url) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                self._hear(gateway, line)

    def _hear(self, gateway: _Gateway, line: bytes) -> None:
        try:
            seen = gateway.seen.after(DemandLine.from_json(line))
        except DocumentError:
            return
        if not seen.routes and gateway.seen.routes and seen.gateway == gateway.seen.gateway:
            seen = replace(seen, routes=gateway.seen.routes)
        urgent = gateway.heard_at is None or seen.newly_held(gateway.seen) or _followed(seen) != _followed(gateway.seen)
        gateway.seen, gateway.heard_at = seen, self._now()
        if urgent:
            self._changed()


def _followed(seen: DemandSeen) -> tuple[str, Set[ModelAddress]]:
    return seen.routes, seen.refused


def _version(routes: str) -> int | None:
    return int(routes) if routes.isdecimal() else None
