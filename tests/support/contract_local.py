"""The local world under the contract: real processes on two simulated devices."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable
from pathlib import Path

import aiohttp

from contract_requests import ask
from contract_witness import Json
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.domain.snapshot import DeviceClass, Pool, Server, Settings
from forebay_operator.worlds import World
from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.local.conversions import Conversions
from forebay_operator.worlds.local.devices import Device, capacity_of
from forebay_operator.worlds.local.gateway import Gateway
from forebay_operator.worlds.local.leftovers import MARK
from forebay_operator.worlds.local.objects import Objects
from forebay_operator.worlds.local.ports import usable_port
from forebay_operator.worlds.local.process_table import has_in_environment, pids
from forebay_operator.worlds.local.processes import ProcessHost
from forebay_operator.worlds.local.servers import Servers
from forebay_operator.worlds.local.state import StateFolder, fresh_run_folder
from forebay_operator.worlds.local.store import LocalStore
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_operator.worlds.local.world import LocalWorld, Parts
from forebay_schema.addresses import ModelAddress
from local_models import save_scaling_model
from local_processes import whole_command

_MOMENT_S = 0.1
_DEVICES = [Device(index, DeviceClass("simulated", "simulated", 1 << 30), "simulated:1Gi,pace=200ms+0ms") for index in (0, 1)]


class LocalSite:
    namespace = "default"
    pool = Pool(namespace="default", device=_DEVICES[0].device)
    keeps_servers = False

    def __init__(self, folder: Path) -> None:
        self.source = str(save_scaling_model(folder / "times-3.onnx", 3.0))
        self.nowhere = str(folder / "nowhere.onnx")
        self._folder = StateFolder(folder / "state")
        self._folder.prepare()
        self._http = aiohttp.ClientSession()
        self._open()

    @property
    def world(self) -> World:
        return self._world

    async def pass_time(self) -> None:
        await asyncio.sleep(_MOMENT_S)

    async def apply(self, content: Json) -> None:
        self._parts.objects.apply(ModelDeployment.from_object(content), "")

    async def delete(self, name: str) -> None:
        self._parts.objects.delete(ModelAddress(self.namespace, name))

    async def lose(self, server: Server) -> None:
        mark = self._folder.mark()
        ours = [pid for pid in pids() if server.name in whole_command(pid) and has_in_environment(pid, MARK, mark)]
        for pid in ours:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ask(self, server: Server, address: ModelAddress, version: int, requests: int) -> Awaitable[int]:
        return ask(self._http, server, address, version, requests)

    async def restart(self) -> None:
        await self._close_world()
        self._open()

    async def close(self) -> None:
        await self._close_world()
        await self._http.close()

    def _open(self) -> None:
        self._host = ProcessHost(self._folder)
        self._host.open()
        around = Surroundings(
            folder=self._folder,
            run=fresh_run_folder(self._folder),
            host=self._host,
            clock=Clock(),
            changed=lambda: None,
            tell=lambda _subject, _text: None,
        )
        self._parts = Parts(
            objects=Objects(self._folder.objects, around.tell),
            servers=Servers(around, _DEVICES, start_timeout_s=300.0),
            conversions=Conversions(around, trust_source=False),
            gateway=Gateway(around, usable_port(0, ""), usable_port(0, ""), hold_seconds=45.0),
            store=LocalStore(self._folder.store),
        )
        self._world = LocalWorld(around, self._parts, capacity_of(_DEVICES), Settings())
        self._parts.servers.open()
        self._parts.gateway.open()

    async def _close_world(self) -> None:
        await self._parts.gateway.close()
        await asyncio.gather(self._parts.servers.close(), self._parts.conversions.close())
        self._host.close()
