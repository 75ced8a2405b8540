"""`/metrics`, `/healthz` and `/readyz` of the operator."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from forebay_schema.network import address_for, authority, listening, split_authority, takes_both_families


class ListenError(Exception):
    """The pages cannot be served there; the message says why."""


class Pages:
    """An HTTP server of three pages."""

    def __init__(self, registry: CollectorRegistry, problem: Callable[[], str]) -> None:
        """`problem`: what keeps the operator from being ready; empty: nothing."""
        self._registry = registry
        self._problem = problem
        self._runner: web.AppRunner | None = None

    async def open(self, listen: str) -> str:
        """Listen at `HOST:PORT` (0: any free one). Returns where.

        Raises:
            ListenError: it cannot.
        """
        try:
            said, port = split_authority(listen)
        except ValueError as error:
            raise ListenError(str(error)) from None
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await self._site(self._runner, address_for(said), port).start()
        except OSError as error:
            raise ListenError(f"cannot listen at {listen}: {error.strerror}") from None
        address = self._runner.addresses[0]
        return authority(address[0], address[1])

    def _site(self, runner: web.AppRunner, address: str, port: int) -> web.BaseSite:
        if takes_both_families(address):
            return web.SockSite(runner, listening(port))
        return web.TCPSite(runner, address, port)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        problem = self._problem()
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")
