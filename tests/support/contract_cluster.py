"""The Kubernetes world under the contract: a real API server and real controllers, pods played by processes."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Coroutine
from typing import Any

import aiohttp

from cluster_kubelet import Kubelet
from cluster_operator import settings
from cluster_site import Site
from contract_requests import ask
from contract_witness import Json
from forebay_operator import handlers
from forebay_operator.domain.snapshot import DeviceClass, Pool, Server
from forebay_operator.settings import OperatorSettings
from forebay_operator.worlds import World
from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.kubernetes import watching
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.audit import Audit
from forebay_operator.worlds.kubernetes.credentials import Credentials
from forebay_operator.worlds.kubernetes.metrics import OperatorMetrics
from forebay_operator.worlds.kubernetes.reign import Mandate, Means, Reign
from forebay_operator.worlds.kubernetes.secrets import StoreKeys
from forebay_operator.worlds.kubernetes.store import Store
from forebay_schema.addresses import ModelAddress

_MOMENT_S = 0.1
_START_S = 200.0


class ClusterSite:
    keeps_servers = True

    def __init__(self, here: Site, kubelet: Kubelet) -> None:
        self._here = here
        self._kubelet = kubelet
        self.namespace = here.namespace
        self.pool = Pool(namespace=here.namespace, device=DeviceClass("simulated", "simulated", 1 << 30))
        self.source = str(here.model_file())
        self.nowhere = str(here.folder / "nowhere.onnx")
        self._http = aiohttp.ClientSession()
        self._tasks: list[asyncio.Task[None]] = []
        self._api: ApiServer | None = None
        self._world: World | None = None

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    async def pass_time(self) -> None:
        await asyncio.sleep(_MOMENT_S)
        for task in self._tasks:
            if task.done():
                task.result()

    async def apply(self, content: Json) -> None:
        path = self._here.path("modeldeployments", content["metadata"]["name"])
        await asyncio.to_thread(self._here.api.apply, path, content)

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self._here.api.delete, self._here.path("modeldeployments", name))

    async def lose(self, server: Server) -> None:
        path = f"{self._here.path('pods', server.name)}?gracePeriodSeconds=0"
        await asyncio.to_thread(self._here.api.delete, path)

    def ask(self, server: Server, address: ModelAddress, version: int, requests: int) -> Awaitable[int]:
        return ask(self._http, server, address, version, requests)

    async def restart(self) -> None:
        await self._end_controller()
        await self.start()

    async def close(self) -> None:
        await self._end_controller()
        await self._http.close()

    async def start(self) -> None:
        """The controller starts, and knows all that there is when this returns."""
        here = self._here
        servers = {**settings(here.namespace, here.folder)["servers"], "simulatedPace": "200ms+0ms"}
        given = OperatorSettings.model_validate(settings(here.namespace, here.folder, servers=servers))
        credentials = Credentials(str(here.access.kubeconfig))
        self._api = ApiServer(await credentials.configuration())
        store = Store(lambda _kind: None)
        watcher = watching.Watcher(
            lambda: handlers.registry(store, credentials.connection), given.namespaces, _leave_signals_alone
        )
        audit = Audit(self._api, store, given.namespaces, watcher.restart, given.audit_seconds)
        reign = Reign(self._means(self._api, store, audit), _mandate(given))
        governs = asyncio.Event()

        async def govern() -> None:
            governs.set()
            await asyncio.Event().wait()

        self._begin(watcher.run(), audit.run(), reign.hold(govern))
        async with asyncio.timeout(_START_S):
            await governs.wait()
        self._world = reign.world

    def _means(self, api: ApiServer, store: Store, audit: Audit) -> Means:
        return Means(
            api=api,
            store=store,
            audit=audit,
            changed=asyncio.Event(),
            clock=Clock(),
            metrics=OperatorMetrics(),
            name="operator-1",
            namespace=self.namespace,
            own_namespace_is_watched=True,
            may_act=lambda: True,
        )

    def _begin(self, *works: Coroutine[Any, Any, None]) -> None:
        self._tasks = [asyncio.ensure_future(work) for work in works]

    async def _end_controller(self) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        if self._api is not None:
            await self._api.close()


def _mandate(given: OperatorSettings) -> Mandate:
    return Mandate(
        installation=given.installation(),
        settings=given.step_settings(),
        devices=given.declared_devices(),
        token_key=b"a-key-for-tests-that-nobody-else-has",
        store_keys=StoreKeys(),
    )


def _leave_signals_alone() -> None:
    """kopf would end at signals that are meant for the tests."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
