"""Load: clients that each ask, wait for the answer, check it, think for a moment and ask again."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from chaos_clients import Client, FailedError, GrpcClient, HttpClient, connected
from chaos_ledger import Failure, Ledger

_NUMBERS: Final = 1000
"""Requests differ by a number below this: exact in FP32, multiplied by any factor that is in use."""


class Load:
    """Clients of every model over both protocols."""

    def __init__(self, ledger: Ledger, ports: tuple[int, int], *, clients: int, think_s: float, seed: int) -> None:
        """`ports`: HTTP, gRPC; `clients`: of each model and protocol; `think_s`: on average, between two requests of one."""
        self._ledger = ledger
        self._ports = ports
        self._clients = clients
        self._think_s = think_s
        self._chance = random.Random(seed)

    @contextlib.asynccontextmanager
    async def running(self, models: Sequence[str]) -> AsyncGenerator[None]:
        """Ask as long as the block lasts; what was asked by then is waited for."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for model in models:
                for _ in range(self._clients):
                    for client in (HttpClient(self._ports[0], model), GrpcClient(self._ports[1], model)):
                        tasks.create_task(self._go_on(client, model, stop))
            try:
                yield
            finally:
                stop.set()

    async def _go_on(self, client: Client, model: str, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                await self._ask(client, model)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._chance.expovariate(1 / self._think_s))
        finally:
            await client.close()

    async def _ask(self, client: Client, model: str) -> None:
        ledger, first = self._ledger, self._chance.randrange(1, _NUMBERS)
        features = [float(first + place) for place in range(4)]
        ledger.sent[client.protocol] += 1
        sent = time.monotonic()
        try:
            answer, refused = await connected(client, features)
        except FailedError as error:
            failed = Failure(model, client.protocol, error.sent or sent, time.monotonic(), error.cause, str(error))
            ledger.failures.append(failed)
            return
        now = time.monotonic()
        if refused is not None:
            ledger.refused.append((refused, now))
        factor = factor_of(features, answer)
        ledger.answered(model, client.protocol, factor, sent, now)


def factor_of(features: Sequence[float], answer: Sequence[float]) -> float:
    """By what the numbers were multiplied; not a number where they were not all by the same."""
    factor = answer[0] / features[0] if answer else float("nan")
    same = len(answer) == len(features) and all(factor * given == got for given, got in zip(features, answer, strict=True))
    return factor if same else float("nan")
