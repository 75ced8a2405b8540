"""A stream of demand over a real socket."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from forebay_operator.worlds.local.demand_stream import read_demand
from forebay_schema.demand import DemandLine, ModelDemand

MODELS = 20_000


@asynccontextmanager
async def a_gateway(socket: Path, line: bytes) -> AsyncGenerator[None]:
    """Answers one line of demand and ends."""

    async def demand(_: web.Request) -> web.Response:
        return web.Response(body=line)

    application = web.Application()
    application.router.add_get("/demand", demand)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        yield
    finally:
        await runner.cleanup()


async def test_a_line_about_very_many_models_is_read_whole(tmp_path: Path) -> None:
    models = tuple(ModelDemand(namespace="default", name=f"model-{number}", arrivals=1) for number in range(MODELS))
    line = DemandLine(gateway="g", sequence=1, models=models)
    heard: list[bytes] = []

    async with a_gateway(tmp_path / "gateway.sock", line.to_json().encode() + b"\n"):
        await read_demand(tmp_path / "gateway.sock", 60.0, heard.append)

    assert [DemandLine.from_json(each) for each in heard] == [line]
