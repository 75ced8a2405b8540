"""An existing Triton model repository, served as it is by one server of its own, beside what ModelDeployments ask for.

Each of its models is routed under its own name in the default namespace, at its latest version that is ready. The control step
knows nothing of it: the server's device is not part of the capacity it plans with.
"""

import asyncio
import contextlib
import functools
import re
import secrets
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from forebay_operator.domain.routes import Route, RouteState, WeightedVersion
from forebay_operator.domain.snapshot import Holding, HoldingPhase, Pool, Server, ServerPhase
from forebay_operator.worlds.local.devices import Device
from forebay_operator.worlds.local.gateway import Gateway
from forebay_operator.worlds.local.lasting import keep_going
from forebay_operator.worlds.local.processes import Command
from forebay_operator.worlds.local.repository_models import RepositoryModel
from forebay_operator.worlds.local.server import STOP_GRACE_S, LocalServer, ServerPlan, serving_arguments
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_schema.addresses import ModelAddress, address_of_authority

NAMESPACE: Final = "default"
_ROUTABLE: Final = re.compile(r"[A-Za-z0-9](?:[-._A-Za-z0-9]{0,251}[A-Za-z0-9])?")
"""Model names that the gateway takes; others would be left out of its table."""
_LOOK_S: Final = 0.5
_PAGE_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_BACKOFF_S: Final = 5.0


class TritonRepository:
    """Keeps a server of the repository running, and its routes right."""

    def __init__(self, around: Surroundings, folder: Path, device: Device, gateway: Gateway) -> None:
        self._around = around
        self._folder = folder
        self._device = device
        self._gateway = gateway
        self._server: LocalServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._http: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Start the server."""
        self._http = aiohttp.ClientSession()
        work = functools.partial(self._run, self._http)
        self._task = asyncio.ensure_future(keep_going(self._folder.name, work, self._around.tell))

    async def close(self, grace_s: float = STOP_GRACE_S) -> None:
        """End the server, within the grace."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._server:
            await self._server.stop(grace_s)
        if self._http:
            await self._http.close()

    def seen(self) -> Server | None:
        """Its server; None: it has not been started yet."""
        return self._server.seen() if self._server else None

    def models(self) -> tuple[RepositoryModel, ...]:
        """Every model of which the server holds, or failed to load, a version; by name."""
        server = self.seen()
        held: dict[str, list[Holding]] = {}
        for holding in server.holdings if server else ():
            held.setdefault(holding.model, []).append(holding)
        return tuple(
            RepositoryModel(
                namespace=NAMESPACE,
                name=name,
                repository=self._folder,
                server=server,
                holdings=tuple(sorted(held[name], key=lambda holding: holding.version)),
                remark=_remark(name),
            )
            for name in sorted(held)
            if server
        )

    async def metadata(self, model: RepositoryModel) -> dict[str, Any] | None:
        """Inputs and outputs, as its server says; None: it does not."""
        endpoint = model.server.endpoint
        if self._http is None or endpoint is None or model.version is None:
            return None
        url = f"http://{endpoint.host}:{endpoint.http}/v2/models/{quote(model.name, safe='')}/versions/{model.version}"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with self._http.get(url, timeout=_PAGE_TIMEOUT) as answer:
                if answer.ok:
                    said: dict[str, Any] = await answer.json(content_type=None)
                    return said
        return None

    async def _run(self, http: aiohttp.ClientSession) -> None:
        while True:
            # One that runs was started before something else failed here.
            if self._server is None or self._server.watch.done():
                self._server = self._start(http)
            await self._follow(self._server)
            self._around.tell(self._server.plan.name, f"{self._server.process.how_it_ended()}; it is started again")
            await asyncio.sleep(_BACKOFF_S)

    async def _follow(self, server: LocalServer) -> None:
        """Route what it holds, until it ends."""
        while not server.watch.done():
            routes = _routes(server)
            if routes != self._gateway.more_routes:
                self._gateway.set_more_routes(routes)
                names = ", ".join(f"{route.address.name} (version {route.versions[0].version})" for route in routes)
                self._around.tell(self._folder.name, f"serves {names or 'nothing'}")
            self._tell_failures(server)
            self._tell_names(server)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(server.watch), _LOOK_S)
        self._gateway.set_more_routes(())

    def _tell_failures(self, server: LocalServer) -> None:
        for holding in server.seen().holdings:
            if holding.phase is HoldingPhase.FAILED:
                self._around.tell(f"{self._folder.name}/{holding.model}", f"version {holding.version}: {holding.reason}")

    def _tell_names(self, server: LocalServer) -> None:
        for model in {holding.model for holding in server.seen().holdings if holding.phase is HoldingPhase.READY}:
            if remark := _remark(model):
                self._around.tell(f"{self._folder.name}/{model}", remark)

    def _start(self, http: aiohttp.ClientSession) -> LocalServer:
        name = f"repository-{secrets.token_hex(3)}"
        plan = ServerPlan(
            name=name,
            pool=Pool(namespace=NAMESPACE, device=self._device.device, exclusive=str(self._folder)),
            device=self._device,
            token="",
            start_timeout_s=600.0,
        )
        repository = ("--model-control-mode", "none", "--model-repository", str(self._folder), "--strict-readiness", "false")
        command = Command(
            name=name,
            arguments=[sys.executable, "-m", "forebay_runtime", *repository, *serving_arguments(plan, self._around)],
            log=self._around.folder.logs / f"server-{name}.log",
            environment=self._device.environment,
        )
        return LocalServer(plan, self._around.host.start(command), self._around, http)


def _routes(server: LocalServer) -> tuple[Route, ...]:
    """The latest ready version of each model that the gateway can route."""
    seen = server.seen()
    if seen.phase is not ServerPhase.READY or seen.endpoint is None:
        return ()
    latest: dict[str, int] = {}
    for holding in seen.holdings:
        if holding.phase is HoldingPhase.READY:
            latest[holding.model] = max(holding.version, latest.get(holding.model, 0))
    return tuple(
        Route(
            address=ModelAddress(NAMESPACE, model),
            state=RouteState.ROUTED,
            versions=(WeightedVersion(version, 100, (seen.endpoint,)),),
        )
        for model, version in sorted(latest.items())
        if _ROUTABLE.fullmatch(model)
    )


def _remark(model: str) -> str:
    """What a person should know of a model's name; empty: clients can name it in every way."""
    if not _ROUTABLE.fullmatch(model):
        return (
            "is not routed: a name has letters, digits, '-', '_' and '.', a letter or digit first and last; rename its folder"
        )
    if address_of_authority(f"{model}.{NAMESPACE}") != ModelAddress(NAMESPACE, model):
        return f"is found by its HTTP path only, /v2/models/{model}: a host name has lower-case letters, digits and '-' only"
    return ""
