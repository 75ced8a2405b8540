"""What the gateway adds, beside a server without it, in one run: `python bench/gateway.py [--seconds 2] [--rounds 3]
[--parts unloaded,busy,zero]`.

The server is Forebay's own with a model that costs next to nothing, so that the way to it is what is measured. Direct and
through the gateway take turns; medians of the rounds are shown. Client, gateway, Envoy and server share the machine's cores.

Under load: requests come by chance (Poisson) at 80 % of the rate at which the way through the gateway is saturated, the same
ones to both ways, whatever was answered by then (an open loop): a time counts from when the request was due.

Then the way from zero: requests wait at the gateway, a server that holds the model already is put into the route table.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from forebay_runtime.protocol.triton_messages import service
from forebay_schema.routes import Endpoint, HoldLimits, Route
from gateway_clients import routed
from gateway_processes import GatewayProcess
from runtime_models import add_model, put_model
from runtime_servers import Server, running_server, wait_for

SIZES = {"small": 16, "large": 150_000}
"""Models by the number of float32 values that they take: 64 bytes and 600 KB."""
CONCURRENCIES = (1, 16)
RPC = "/inference.GRPCInferenceService/ModelInfer"
HOLD = HoldLimits(bytes=1 << 40, seconds=600)
HTTP_OK = 200
BUSY = 0.8
"""Of saturation."""
SHARES = (0.5, 0.9, 0.99, 0.999)
MOST_AT_ONCE = 128
"""Connections of the open loop; requests that find none free wait, and are late."""

Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Way:
    """Where requests are sent, directly or through the gateway."""

    http: int
    grpc: int


@dataclass(frozen=True)
class Load:
    per_second: float
    median_us: float


class HttpCaller:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, model: str) -> None:
        values = bytes(4 * SIZES[model])
        description = (
            f'{{"inputs": [{{"name": "x", "datatype": "FP32", "shape": [1, {SIZES[model]}], '
            f'"parameters": {{"binary_data_size": {len(values)}}}}}], "parameters": {{"binary_data_output": true}}}}'
        ).encode()
        head = (
            f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: bench\r\n"
            f"inference-header-content-length: {len(description)}\r\ncontent-length: {len(description) + len(values)}\r\n\r\n"
        )
        self._request = head.encode() + description + values
        self._reader, self._writer = reader, writer

    async def __call__(self) -> None:
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


class GrpcCaller:
    def __init__(self, channel: Any, model: str) -> None:
        request = service.ModelInferRequest(model_name=model, raw_input_contents=[bytes(4 * SIZES[model])])
        request.inputs.add(name="x", datatype="FP32", shape=(1, SIZES[model]))
        self._message = bytes(request.SerializeToString())
        self._call = channel.unary_unary(RPC)

    async def __call__(self) -> None:
        await self._call(self._message)


async def callers(protocol: str, way: Way, model: str, count: int) -> tuple[list[Call], Callable[[], Awaitable[None]]]:
    """As many callers, and what closes them."""
    if protocol == "grpc":
        options = [("grpc.default_authority", f"{model}.default"), ("grpc.max_receive_message_length", -1)]
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{way.grpc}", options=options)
        return [GrpcCaller(channel, model) for _ in range(count)], channel.close
    made = [HttpCaller(*(await asyncio.open_connection("127.0.0.1", way.http)), model) for _ in range(count)]

    async def close() -> None:
        for caller in made:
            caller.close()

    return [*made], close


async def load(protocol: str, way: Way, model: str, concurrency: int, seconds: float) -> Load:
    calls, close = await callers(protocol, way, model, concurrency)
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def work(call: Call) -> None:
        while (began := time.perf_counter()) < end:
            await call()
            times.append(time.perf_counter() - began)

    await asyncio.gather(*map(work, calls))
    await close()
    return Load(len(times) / seconds, statistics.median(times) * 1e6)


def compare(ways: tuple[Way, Way], seconds: float, rounds: int) -> None:
    print("| protocol | request | at once | direct/s | through/s | of direct | direct p50 | through p50 | added |")
    print("|---|---|---|---|---|---|---|---|---|")
    for protocol in ("http", "grpc"):
        for model in SIZES:
            for concurrency in CONCURRENCIES:
                pairs = [[run(load(protocol, way, model, concurrency, seconds)) for way in ways] for _ in range(rounds)]
                print_pair(f"{protocol} | {model} | {concurrency}", *(median(column) for column in zip(*pairs, strict=True)))


def busy(ways: tuple[Way, Way], seconds: float, rounds: int) -> None:
    """Direct and through the gateway, at the same rate: the one that keeps the gateway busy by 80 %."""
    print(f"\nAt {100 * BUSY:.0f} % of what the way through the gateway can take: direct / through (added, ratio):\n")
    print("| protocol | request | saturated at | asked | " + " | ".join(f"p{100 * share:g}" for share in SHARES) + " |")
    print("|---" * (4 + len(SHARES)) + "|")
    for protocol in ("http", "grpc"):
        for model in SIZES:
            saturated = statistics.median(
                run(load(protocol, ways[1], model, CONCURRENCIES[-1], seconds)).per_second for _ in range(rounds)
            )
            rate = BUSY * saturated
            pairs = [
                [run(open_loop(protocol, way, model, rate=rate, seconds=seconds, seed=seed)) for way in ways]
                for seed in range(rounds)
            ]
            direct, through = (sorted(time for times in column for time in times) for column in zip(*pairs, strict=True))
            cells = " | ".join(compared(at(direct, share), at(through, share)) for share in SHARES)
            print(f"| {protocol} | {model} | {saturated:,.0f}/s | {len(through):,} at {rate:,.0f}/s | {cells} |", flush=True)


def at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def compared(direct_s: float, through_s: float) -> str:
    direct, through = 1000 * direct_s, 1000 * through_s
    return f"{direct:.2f} / {through:.2f} ms (+{through - direct:.2f}, x {through / direct:.1f})"


async def open_loop(protocol: str, way: Way, model: str, *, rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds from when each request was due to its answer."""
    calls, close = await callers(protocol, way, model, MOST_AT_ONCE)
    free = asyncio.LifoQueue[Call]()
    for call in calls:
        await call()
        free.put_nowait(call)
    times: list[float] = []

    async def ask(due: float) -> None:
        call = await free.get()
        await call()
        free.put_nowait(call)
        times.append(time.perf_counter() - due)

    chance, due = random.Random(seed), time.perf_counter()
    end = due + seconds
    async with asyncio.TaskGroup() as tasks:
        while (due := due + chance.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(ask(due))
    await close()
    return times


def print_pair(what: str, direct: Load, through: Load) -> None:
    rates = f"{direct.per_second:,.0f} | {through.per_second:,.0f} | {100 * through.per_second / direct.per_second:.0f} %"
    added = through.median_us - direct.median_us
    print(f"| {what} | {rates} | {direct.median_us:,.0f} µs | {through.median_us:,.0f} µs | {added:,.0f} µs |", flush=True)


def median(loads: Sequence[Load]) -> Load:
    return Load(statistics.median(each.per_second for each in loads), statistics.median(each.median_us for each in loads))


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def from_zero(gateway: GatewayProcess, endpoint: Endpoint, rounds: int) -> None:
    print("\nFrom the route table's replacement to the answers of waiting requests (medians):\n")
    print("| protocol | request | waiting | Envoy has acknowledged | first answer | median | last |")
    print("|---|---|---|---|---|---|---|")
    for protocol in ("http", "grpc"):
        for model, waiting in (("small", 1), ("small", 200), ("large", 200)):
            measured = [released(gateway, endpoint, protocol, model, waiting) for _ in range(rounds)]
            figures = (f"{1000 * statistics.median(column):.1f} ms" for column in zip(*measured, strict=True))
            print(f"| {protocol} | {model} | {waiting} | {' | '.join(figures)} |", flush=True)


def released(gateway: GatewayProcess, endpoint: Endpoint, protocol: str, model: str, waiting: int) -> tuple[float, ...]:
    """Seconds to the acknowledgement, and to the first, the median and the last answer."""
    gateway.route(*routes(None))
    answered: list[float] = []

    async def ask_all() -> None:
        way = Way(gateway.http_port, gateway.grpc_port)
        calls, close = await callers(protocol, way, model, waiting)

        async def ask(call: Call) -> None:
            await call()
            answered.append(time.perf_counter())

        await asyncio.gather(*map(ask, calls))
        await close()

    asking = threading.Thread(target=run, args=(ask_all(),))
    asking.start()
    gateway.wait_until_held(model, waiting)
    began = time.perf_counter()
    gateway.route(*routes(endpoint))
    acknowledged = time.perf_counter() - began
    asking.join()
    return acknowledged, *(moment - began for moment in (answered[0], answered[waiting // 2], answered[-1]))


def routes(endpoint: Endpoint | None) -> list[Route]:
    return [routed(model, *([endpoint] if endpoint else []), hold=HOLD) for model in SIZES]


@contextmanager
def server() -> Generator[Server]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for model, width in SIZES.items():
            put_model(folder / "repository", model, add_model(width=width), config="max_batch_size: 8")
        with running_server(folder / "server", "--model-repository", str(folder / "repository")) as running:
            wait_for(lambda: running.request("GET", "/v2/health/ready").status == HTTP_OK, "the models are loaded")
            yield running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default="unloaded,busy,zero")
    given = parser.parse_args()
    parts = given.parts.split(",")
    with server() as running:
        endpoint = Endpoint(host="127.0.0.1", http=running.http, grpc=running.grpc)
        with GatewayProcess.running(*routes(endpoint)) as gateway:
            ways = (Way(running.http, running.grpc), Way(gateway.http_port, gateway.grpc_port))
            if "unloaded" in parts:
                compare(ways, given.seconds, given.rounds)
            if "busy" in parts:
                busy(ways, given.seconds, given.rounds)
            if "zero" in parts:
                from_zero(gateway, endpoint, given.rounds)


if __name__ == "__main__":
    main()
