"""Predictions asked of a server itself, many at once."""

import asyncio
from collections.abc import Awaitable

import aiohttp

from forebay_operator.domain.snapshot import Server
from forebay_schema.addresses import ModelAddress

_BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]}


def ask(http: aiohttp.ClientSession, server: Server, address: ModelAddress, version: int, requests: int) -> Awaitable[int]:
    """Sent at once; gives how many were answered."""
    assert server.endpoint is not None
    url = f"http://{server.endpoint.host}:{server.endpoint.http}/v2/models/{address.name}/versions/{version}/infer"

    async def one() -> bool:
        async with http.post(url, json=_BODY, timeout=aiohttp.ClientTimeout(total=180)) as answer:
            return answer.status == 200 and (await answer.json())["outputs"][0]["data"] == [3.0, 6.0, 9.0, 12.0]

    tasks = [asyncio.ensure_future(one()) for _ in range(requests)]

    async def answered() -> int:
        return sum(await asyncio.gather(*tasks))

    return answered()
