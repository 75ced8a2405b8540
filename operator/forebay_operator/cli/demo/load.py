"""Sends the demo's requests: unmodified tritonclient, HTTP and gRPC at once, each at its moment of the trace."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http.aio as http_aio

from forebay_operator.cli.demo.digits import Digits, Images

WireProtocol = Literal["HTTP", "gRPC"]
# Clients wait this long for an answer: the gateway holds a request for at most 45 s.
CLIENT_TIMEOUT_S = 60.0
GRPC_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it was sent (seconds into the trace), how long it took, and what came back."""

    protocol: WireProtocol
    sent_s: float
    latency_s: float
    sample: int
    label: int | None
    """None: it failed."""
    error: str = ""


@dataclass(slots=True)
class LoadReport:
    """What is known of the traffic so far."""

    sent: int = 0
    answers: list[Answer] = field(default_factory=list[Answer])
    by_protocol: Counter[str] = field(default_factory=Counter[str])

    @property
    def answered(self) -> int:
        return len(self.answers)

    @property
    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.label is None]

    def latencies_s(self, since_s: float = 0.0) -> list[float]:
        return [answer.latency_s for answer in self.answers if answer.sent_s >= since_s]

    def add(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.by_protocol[answer.protocol] += 1


class Client(Protocol):
    async def ask(self, image: Images) -> int: ...

    async def close(self) -> None: ...


class HttpClient:
    """Asks over HTTP with the binary tensor extension, by the path on the gateway's own address."""

    def __init__(self, address: str, model: str, input_name: str, output_name: str) -> None:
        self._client = http_aio.InferenceServerClient(address, conn_limit=1000, conn_timeout=CLIENT_TIMEOUT_S)
        self._model, self._input, self._output = model, input_name, output_name

    async def ask(self, image: Images) -> int:
        tensor = http_aio.InferInput(self._input, list(image.shape), "FP32")
        tensor.set_data_from_numpy(image)
        result = await self._client.infer(self._model, [tensor], outputs=[http_aio.InferRequestedOutput(self._output)])
        return _label(result.as_numpy(self._output), self._output)

    async def close(self) -> None:
        await self._client.close()


class GrpcClient:
    """Asks over gRPC; the channel's authority names the model's host, as a Service's name would in a cluster."""

    def __init__(self, address: str, model: str, input_name: str, output_name: str) -> None:
        options = [("grpc.default_authority", f"{model}.default"), ("grpc.use_local_subchannel_pool", 1)]
        self._clients = [grpc_aio.InferenceServerClient(address, channel_args=options) for _ in range(GRPC_CONNECTIONS)]
        self._model, self._input, self._output = model, input_name, output_name
        self._turn = 0

    async def ask(self, image: Images) -> int:
        tensor = grpc_aio.InferInput(self._input, list(image.shape), "FP32")
        tensor.set_data_from_numpy(image)
        self._turn = (self._turn + 1) % len(self._clients)
        result = await self._clients[self._turn].infer(
            self._model,
            [tensor],
            outputs=[grpc_aio.InferRequestedOutput(self._output)],
            client_timeout=CLIENT_TIMEOUT_S,
        )
        if result is None:
            raise RuntimeError("an empty answer")
        return _label(result.as_numpy(self._output), self._output)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


def _label(output: npt.NDArray[Any] | None, name: str) -> int:
    if output is None:
        raise RuntimeError(f"the answer has no output {name!r}")
    return int(output[0])


class Traffic:
    """Sends the images one after the other, over the protocols in turn; `report` grows while it runs."""

    def __init__(self, digits: Digits, clients: Mapping[WireProtocol, Client]) -> None:
        self.report = LoadReport()
        self._digits = digits
        self._clients = clients
        self.all_answered = False
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    async def send(self, arrivals: Iterable[float]) -> None:
        """Send each request at its moment, however many are still waiting; return when all were answered."""
        self._started = time.monotonic()
        protocols = list(self._clients)
        async with asyncio.TaskGroup() as requests:
            for number, at_s in enumerate(arrivals):
                await asyncio.sleep(at_s - self.elapsed_s)
                self.report.sent += 1
                requests.create_task(self._ask(number % len(self._digits.images), protocols[number % len(protocols)]))
        self.all_answered = True

    async def _ask(self, sample: int, protocol: WireProtocol) -> None:
        sent_s = self.elapsed_s
        label, error = None, ""
        try:
            label = await self._clients[protocol].ask(np.ascontiguousarray(self._digits.images[sample : sample + 1]))
        except Exception as problem:
            # Whatever a client raises is a failed request: counted, and shown.
            error = f"{type(problem).__name__}: {problem}"
        self.report.add(Answer(protocol, sent_s, self.elapsed_s - sent_s, sample, label, error))
