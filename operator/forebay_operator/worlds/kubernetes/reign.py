"""What one operator does while it leads: the world's parts made anew, the step run over them, everything ended together."""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from forebay_operator.domain.snapshot import Settings
from forebay_operator.manifests.installation import Installation
from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.kubernetes.addresses import Addresses
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.artifacts import Artifacts
from forebay_operator.worlds.kubernetes.audit import Audit
from forebay_operator.worlds.kubernetes.budgets import Budgets
from forebay_operator.worlds.kubernetes.capacity import CapacityView, DeclaredDevices
from forebay_operator.worlds.kubernetes.claims import Claims
from forebay_operator.worlds.kubernetes.conversions import Conversions
from forebay_operator.worlds.kubernetes.gateway_pods import GatewayPods, ListedGatewayPods, WatchedGatewayPods
from forebay_operator.worlds.kubernetes.gateways import Gateways
from forebay_operator.worlds.kubernetes.metrics import OperatorMetrics
from forebay_operator.worlds.kubernetes.models import Models
from forebay_operator.worlds.kubernetes.news import Newsroom
from forebay_operator.worlds.kubernetes.pools import Pools
from forebay_operator.worlds.kubernetes.routes import RouteHistory
from forebay_operator.worlds.kubernetes.secrets import Secrets, StoreKeys
from forebay_operator.worlds.kubernetes.servers import Servers, Tokens
from forebay_operator.worlds.kubernetes.statuses import Statuses
from forebay_operator.worlds.kubernetes.store import Store
from forebay_operator.worlds.kubernetes.troubles import Troubles
from forebay_operator.worlds.kubernetes.world import KubernetesWorld, Parts
from forebay_operator.worlds.kubernetes.writer import Writer
from forebay_operator.worlds.loop import StepLoop
from forebay_schema.logs import Logger

_LOOK_S: Final = 0.05
_AT_ONCE: Final = 50
"""ModelDeployments read before others get their turn."""
_SETTLE_S: Final = 6.0
"""How long servers that do not answer may keep the first step waiting."""
_HEAR_S: Final = 2.0
"""The same for gateways."""
_log: Final = Logger("forebay.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What outlives a reign."""

    api: ApiServer
    store: Store
    audit: Audit
    changed: asyncio.Event
    clock: Clock
    metrics: OperatorMetrics
    name: str
    """Of this operator."""
    namespace: str
    """Where it runs, and the gateways."""
    own_namespace_is_watched: bool
    may_act: Callable[[], bool]
    """Whether this operator leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """What the operator was told."""

    installation: Installation
    settings: Settings
    devices: DeclaredDevices
    token_key: bytes
    store_keys: StoreKeys


class Reign:
    """From the lease won to the lease lost."""

    def __init__(self, means: Means, mandate: Mandate) -> None:
        self._means = means
        now, store, changed = means.clock.now, means.store, means.changed.set
        self._newsroom = Newsroom(means.api, means.name, now)
        self._writer = Writer(means.api, store, self._newsroom.tell, changed, self._may_act)
        tokens = Tokens(mandate.token_key)
        models = Models(store, Troubles(self._writer))
        claims = Claims(self._newsroom.tell)
        pools = Pools(store, self._writer, mandate.installation, models.owners_of, now, claims=claims)
        self._parts = Parts(
            models=models,
            servers=Servers(store, tokens, now, changed, claims=claims, is_outdated=pools.is_outdated),
            pools=pools,
            budgets=Budgets(store, self._writer, mandate.installation.servers.max_unavailable, models.owners_of),
            conversions=Conversions(store, self._writer, mandate.installation, models.waiting_for, now),
            gateways=Gateways(self._gateway_pods(), now, changed),
            capacity=CapacityView(store, mandate.devices, mandate.installation.servers.node_selector),
            routes=RouteHistory(),
            statuses=Statuses(models, self._writer, self._newsroom.tell),
            addresses=Addresses(store, self._writer, models, mandate.installation.gateway_host),
            secrets=Secrets(self._writer, tokens, mandate.store_keys, models.owners_in),
            artifacts=Artifacts(mandate.installation.store.uri, changed),
        )
        self.world = KubernetesWorld(self._parts, means.clock, mandate.settings, self._may_act)

    def _may_act(self) -> bool:
        """Whether this operator leads, and knows what there is: not while all of it is read again."""
        return self._means.may_act() and not self._means.audit.is_reading_anew

    def _gateway_pods(self) -> GatewayPods:
        means = self._means
        if means.own_namespace_is_watched:
            return WatchedGatewayPods(means.store, means.namespace)
        return ListedGatewayPods(means.api, means.namespace)

    async def run(self) -> None:
        """Step over the world until cancelled."""
        await self.hold(self._govern)

    async def hold(self, govern: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the world's parts work until cancelled, and govern as soon as all is known that there is."""
        parts = self._parts
        try:
            async with asyncio.TaskGroup() as tasks:
                works = (parts.servers.run(), parts.gateways.run(), parts.artifacts.run(), self._newsroom.run(), self._go_on())
                for work in works:
                    tasks.create_task(work)
                await self._settle()
                tasks.create_task(govern())
        finally:
            self._means.metrics.leads_no_more()
            await self._writer.close()

    async def _govern(self) -> None:
        _spare_the_collector()
        await StepLoop(self.world, self._means.changed, stepped=self._means.metrics.stepped).run()

    async def _go_on(self) -> None:
        """Thousands of writes are begun some at a time: no step is needed to begin the next ones."""
        while True:
            await self._writer.has_room.wait()
            self._writer.has_room.clear()
            self.world.go_on()

    async def _settle(self) -> None:
        """Wait until the store has everything, and every server and gateway that answers has been heard: a replica that is not
        seen yet must not seem to be gone, and demand must not seem to be unknown."""
        self._means.audit.soon()
        await self._means.audit.synced.wait()
        await self._parts.models.read_ahead(_AT_ONCE)
        await _until(lambda: self._parts.servers.are_settled, _SETTLE_S)
        await _until(lambda: self._parts.gateways.are_settled, _HEAR_S)
        _log.info("the first step is taken")


async def _until(condition: Callable[[], bool], at_most_s: float) -> None:
    """Pods, connections and clocks all bear on such conditions: they are looked at again and again."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            while not condition():  # noqa: ASYNC110 - there is no one event to wait for
                await asyncio.sleep(_LOOK_S)


def _spare_the_collector() -> None:
    """What was read of the cluster stays: the collector of cyclic garbage need not look through all of it again and again."""
    gc.collect()
    gc.freeze()
