"""Asks models for numbers, over HTTP (aiohttp) and gRPC (tritonclient), and tells how a failure looked.

A request is sent again only where no connection was made, so that nothing can have been sent.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import aiohttp
import grpc
import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from chaos_ledger import Cause

TIMEOUT_S: Final = 60.0
"""Clients of Triton wait this long; the gateway holds a request for 45 s at most."""
_AGAIN_S: Final = 0.05
_LISTENS_S: Final = 300.0
"""Within this, somebody takes connections again."""
_RECONNECT: Final = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class FailedError(Exception):
    """A request that was sent, and got no answer or an error."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.sent: float | None = None
        """When it was sent for the last time, if anybody knows."""


class NoConnectionError(Exception):
    """Nothing was sent."""


class Client(Protocol):
    protocol: str

    async def ask(self, features: Sequence[float]) -> list[float]:
        """Four numbers for four.

        Raises:
            FailedError: there is no answer.
            NoConnectionError: nobody listens.
        """
        ...

    async def close(self) -> None: ...


class HttpClient:
    """One connection, kept."""

    protocol = "HTTP"

    def __init__(self, port: int, model: str) -> None:
        self._url = f"http://127.0.0.1:{port}/v2/models/{model}/infer"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def ask(self, features: Sequence[float]) -> list[float]:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, len(features)], "data": list(features)}
        try:
            async with self._session.post(self._url, json={"inputs": [tensor]}) as answer:
                if answer.status != 200:
                    raise FailedError(_HTTP.get(answer.status, Cause.OTHER), f"{answer.status} {await answer.text()}")
                return [float(value) for value in (await answer.json())["outputs"][0]["data"]]
        except TimeoutError as error:
            raise FailedError(Cause.TIMEOUT, "timeout") from error
        except aiohttp.ClientConnectorError as error:
            raise NoConnectionError from error
        except aiohttp.ClientError as error:
            raise FailedError(Cause.BROKEN, f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        await self._session.close()


class GrpcClient:
    """One channel."""

    protocol = "gRPC"

    def __init__(self, port: int, model: str) -> None:
        options = [*_RECONNECT, ("grpc.default_authority", f"{model}.default")]
        self._client = triton.InferenceServerClient(f"127.0.0.1:{port}", channel_args=options)
        self._model = model

    async def ask(self, features: Sequence[float]) -> list[float]:
        tensor = triton.InferInput("x", [1, len(features)], "FP32")
        tensor.set_data_from_numpy(np.array([features], np.float32))
        try:
            result: Any = await self._client.infer(self._model, [tensor], client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            raise _failure(str(error.status()), str(error.message())) from error
        return [float(value) for value in result.as_numpy("y")[0]]

    async def close(self) -> None:
        await self._client.close()


_HTTP: Final = {503: Cause.UNAVAILABLE, 404: Cause.UNKNOWN}
_GRPC: Final = {
    str(grpc.StatusCode.UNAVAILABLE): Cause.UNAVAILABLE,
    str(grpc.StatusCode.NOT_FOUND): Cause.UNKNOWN,
    str(grpc.StatusCode.DEADLINE_EXCEEDED): Cause.TIMEOUT,
}


def _failure(status: str, text: str) -> Exception:
    if "failed to connect" in text.lower():
        return NoConnectionError()
    return FailedError(_GRPC.get(status, Cause.OTHER), f"{status} {text}")


async def connected(client: Client, features: Sequence[float]) -> tuple[list[float], float | None]:
    """Ask as soon as somebody listens: the answer, and when a connection was first refused (None: never).

    Raises:
        FailedError: there is no answer.
    """
    first_refused: float | None = None
    began = time.monotonic()
    while True:
        sent = time.monotonic()
        try:
            return await client.ask(features), first_refused
        except FailedError as error:
            error.sent = sent
            raise
        except NoConnectionError:
            first_refused = first_refused or time.monotonic()
            if time.monotonic() - began > _LISTENS_S:
                raise FailedError(Cause.TIMEOUT, "nobody listens") from None
            await asyncio.sleep(_AGAIN_S)
