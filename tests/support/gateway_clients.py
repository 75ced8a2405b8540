"""Clients of a gateway: plain HTTP, and tritonclient by gRPC."""

import json
import struct
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, TypeVar

import numpy as np
import tritonclient.grpc as triton_grpc

from forebay_schema.routes import Endpoint, HoldLimits, Route, WeightedVersion
from gateway_processes import PATIENCE_S, GatewayProcess

T = TypeVar("T")
INFER = "/v2/models/{}/infer"
PLENTY = HoldLimits(seconds=PATIENCE_S)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


def routed(name: str, *endpoints: Endpoint, version: int = 1, hold: HoldLimits = PLENTY) -> Route:
    """A model in the default namespace that these endpoints answer for; held if there are none."""
    versions = (WeightedVersion(version=version, weight=100, endpoints=endpoints),) if endpoints else ()
    return Route(namespace="default", name=name, state="routed" if endpoints else "held", versions=versions, hold=hold)


def ask(
    gateway: GatewayProcess,
    path: str,
    body: bytes | None = None,
    *,
    host: str = "",
    headers: dict[str, str] | None = None,
    method: str = "",
) -> Reply:
    """One HTTP request on a connection of its own."""
    with connection(gateway) as client:
        fields = {**({"host": host} if host else {}), **(headers or {})}
        client.request(method or ("GET" if body is None else "POST"), path, body, fields)
        answer = client.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


@contextmanager
def connection(gateway: GatewayProcess) -> Generator[HTTPConnection]:
    client = HTTPConnection("127.0.0.1", gateway.http_port, timeout=2 * PATIENCE_S)
    try:
        yield client
    finally:
        client.close()


def reset(client: HTTPConnection) -> None:
    """Break a connection off, as a client does whose process is killed."""
    client.sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


@contextmanager
def triton(gateway: GatewayProcess, authority: str) -> Generator[Any]:
    """A tritonclient for the model that the authority names."""
    client = triton_grpc.InferenceServerClient(gateway.grpc, channel_args=[("grpc.default_authority", authority)])
    try:
        yield client
    finally:
        client.close()


def tensor(elements: int = 4) -> Any:
    values = triton_grpc.InferInput("IN", [elements], "FP32")
    values.set_data_from_numpy(np.zeros(elements, np.float32))
    return values


@contextmanager
def at_once(count: int, call: Callable[[int], T]) -> Generator["list[Future[T]]"]:
    """`count` calls in threads of their own; the block's end waits for them."""
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(call, number) for number in range(count)]


def results(futures: "list[Future[T]]") -> list[T]:
    return [future.result(2 * PATIENCE_S) for future in futures]
