"""Where a surge waits: `python bench/surge.py [--rounds 3] [--ways servers,gateway] [--shapes step,unequal,600KB]`.

Two servers of unequal speed behind the real gateway take a load that grows fivefold, to one and a half times what they do. In
a *step* a third server joins while requests queue, with *unequal* ones none does, and with 600 KB all servers are slower.
Requests wait in the servers; or at the gateway (`--hold-surges`), which lets go what keeps servers busy; or, where a way is
a number, a server takes so many (`maxQueueSize`) and no more, answers others with the retry answer, and the gateway holds
them for whichever server has room first. Rounds take turns. The way *ideal* is none of Forebay's: it is calculated, and says
what requests would wait if each server took the first of one queue whenever it is free, and nothing else took time.

Servers compute at a simulated device's pace, so that three of them fit on few cores. The client sends at fixed times whatever
was answered (an open loop), so a wait is counted from when the request should have been sent.
"""

import argparse
import asyncio
import contextlib
import functools
import heapq
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from forebay_schema.routes import Endpoint, HoldLimits
from gateway_clients import routed
from gateway_processes import GatewayProcess
from runtime_models import add_model, put_model
from runtime_servers import Server, running_server, wait_for

MODEL: Final = "surge"
BATCH: Final = 8
PACES: Final = ((20, 2), (40, 4), (20, 2))
"""Of the servers: milliseconds of a batch and of each request in it; 222, 111 and 222 a second. The third joins late."""
HOLD: Final = HoldLimits(bytes=1 << 40, seconds=600)
HTTP_OK: Final = 200


@dataclass(frozen=True)
class Shape:
    """A load: requests a second before and in the surge, and the number of float32 values of each."""

    name: str
    width: int
    before: float
    surge: float
    slower: int = 1
    """How much longer than `PACES` its servers take."""
    surge_s: float = 6.0
    joins: bool = True


SHAPES: Final = {
    "step": Shape("64 bytes, one joins", 16, 100.0, 500.0),
    "unequal": Shape("64 bytes", 16, 100.0, 500.0, surge_s=4.0, joins=False),
    "600KB": Shape("600 KB, one joins", 150_000, 25.0, 125.0, slower=4),
}
SERVERS: Final = "servers"
GATEWAY: Final = "gateway"
IDEAL: Final = "ideal"
BEFORE_S: Final = 2.0
JOINS_S: Final = 4.0
"""When the third server joins, from the beginning."""


@dataclass(frozen=True)
class Round:
    waits: Sequence[float]
    """Of the requests of the surge, sorted, in seconds."""
    failed: int
    drained_s: float
    """From the surge's end until everything was answered."""
    cpu_ms: Sequence[float] = (0.0, 0.0, 0.0)
    """Of the gateway's own process, of Envoy and of the servers, for each request."""


class Client:
    """Sends requests when they are due, each over a connection that nobody else uses meanwhile."""

    def __init__(self, port: int, shape: Shape) -> None:
        values = bytes(4 * shape.width)
        description = (
            f'{{"inputs": [{{"name": "x", "datatype": "FP32", "shape": [1, {shape.width}], '
            f'"parameters": {{"binary_data_size": {len(values)}}}}}], "parameters": {{"binary_data_output": true}}}}'
        ).encode()
        head = (
            f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: bench\r\n"
            f"inference-header-content-length: {len(description)}\r\ncontent-length: {len(description) + len(values)}\r\n\r\n"
        )
        self._port = port
        self._request = head.encode() + description + values
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> bool:
        """Whether it was answered well."""
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        self._free.append((reader, writer))
        if head.startswith(b"http/1.1 200"):
            return True
        print(f"not answered by 200: {head.partition(bytes((13,)))[0]!r} {body[:200]!r}", file=sys.stderr, flush=True)
        return False

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


def times(shape: Shape) -> Generator[tuple[float, bool]]:
    """When each request is due, from the beginning, and whether it is of the surge."""
    yield from ((number / shape.before, False) for number in range(int(shape.before * BEFORE_S)))
    yield from ((BEFORE_S + number / shape.surge, True) for number in range(int(shape.surge * shape.surge_s)))


def ideal(shape: Shape) -> Round:
    """A round in which every server takes the first of one queue whenever it is free."""
    due = [at for at, _ in times(shape)]
    free = [(0.0, 0), (0.0, 1), *([(JOINS_S, 2)] if shape.joins else [])]
    answered = list[float]()
    while len(answered) < len(due):
        at, server = heapq.heappop(free)
        begins = max(at, due[len(answered)])
        batch = sum(each <= begins for each in due[len(answered) : len(answered) + BATCH])
        base, more = PACES[server]
        ends = begins + shape.slower * (base + more * batch) / 1000
        answered += [ends] * batch
        heapq.heappush(free, (ends, server))
    waits = [end - at for (at, is_surge), end in zip(times(shape), answered, strict=True) if is_surge]
    return Round(sorted(waits), 0, max(answered) - BEFORE_S - shape.surge_s)


class Load:
    """One round's requests, and what became of them."""

    def __init__(self, client: Client, shape: Shape) -> None:
        self._client = client
        self._shape = shape
        self.waits: list[float] = []
        self.failed = 0

    async def run(self) -> float:
        """Send all, and return the seconds from the surge's end until everything was answered."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for due, is_surge in times(self._shape):
                await asyncio.sleep(began + due - time.perf_counter())
                tasks.create_task(self._ask(began + due, is_surge=is_surge))
        self._client.close()
        return time.perf_counter() - began - BEFORE_S - self._shape.surge_s

    async def _ask(self, due: float, *, is_surge: bool) -> None:
        is_well = await self._client.ask()
        self.failed += not is_well
        if is_surge:
            self.waits.append(time.perf_counter() - due)


class Site:
    """A gateway and the servers."""

    def __init__(self, gateway: GatewayProcess, servers: Sequence[Server]) -> None:
        self._gateway = gateway
        self._servers = servers

    def route(self, count: int) -> None:
        """Have so many of the servers answer."""
        endpoints = [Endpoint(host="127.0.0.1", http=each.http, grpc=each.grpc) for each in self._servers[:count]]
        self._gateway.route(routed(MODEL, *endpoints, hold=HOLD))

    def cpu_s(self) -> tuple[float, float, float]:
        """Of the gateway's own process, of Envoy and of the servers, so far."""
        assert self._gateway.process is not None
        servers = sum(_cpu_s(each.process.pid) for each in self._servers)
        return _cpu_s(self._gateway.process.pid), _cpu_s(self._gateway.envoy_pid), servers

    def round(self, shape: Shape) -> Round:
        self.route(2)
        before = self.cpu_s()
        load, drained = _run(self._surge(shape))
        cpu_ms = [1e3 * (now - then) / len(load.waits) for then, now in zip(before, self.cpu_s(), strict=True)]
        return Round(sorted(load.waits), load.failed, drained, cpu_ms)

    async def _surge(self, shape: Shape) -> tuple[Load, float]:
        load = Load(Client(self._gateway.http_port, shape), shape)
        running = asyncio.ensure_future(load.run())
        await asyncio.sleep(JOINS_S)
        if shape.joins:
            await asyncio.to_thread(self.route, 3)
        return load, await running


def _run(work: Coroutine[Any, Any, tuple[Load, float]]) -> tuple[Load, float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pace(shape: Shape, server: int) -> str:
    base, more = (shape.slower * each for each in PACES[server])
    return f"{base}ms+{more}ms"


def is_ready(server: Server) -> bool:
    return server.request("GET", "/v2/health/ready").status == HTTP_OK


@contextlib.contextmanager
def site(shape: Shape, way: str) -> Generator[Site]:
    """A gateway and three servers; `way`: where requests wait, or how many of them a server takes."""
    limit = int(way) if way.isdecimal() else 0
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        policy = f"dynamic_batching {{ default_queue_policy {{ max_queue_size: {limit} }} }}"
        put_model(folder / "models", MODEL, add_model(width=shape.width), config=f"max_batch_size: {BATCH}\n{policy}")
        servers = [
            stack.enter_context(
                running_server(
                    folder / f"server-{number}",
                    *("--model-repository", str(folder / "models"), "--device", f"simulated:16Gi,pace={_pace(shape, number)}"),
                )
            )
            for number in range(len(PACES))
        ]
        for server in servers:
            wait_for(functools.partial(is_ready, server), "the model is loaded")
        gateway = stack.enter_context(GatewayProcess.prepared())
        gateway.write(routed(MODEL, hold=HOLD))
        gateway.start(*(["--hold-surges"] if way == GATEWAY else []))
        gateway.wait_until_ready()
        yield Site(gateway, servers)


def show(shape: Shape, way: str, rounds: Sequence[Round]) -> None:
    def median(figures: Sequence[float]) -> float:
        return statistics.median(figures)

    p50, p99 = (median([each.waits[int(len(each.waits) * share)] for each in rounds]) for share in (0.5, 0.99))
    cells = (
        shape.name,
        way,
        f"{p50:.2f} s",
        f"{p99:.2f} s",
        f"{median([statistics.fmean(each.waits) for each in rounds]):.2f} s",
        f"{median([each.waits[-1] for each in rounds]):.2f} s",
        f"{median([each.drained_s for each in rounds]):.2f} s",
        *(f"{median([each.cpu_ms[part] for each in rounds]):.2f} ms" for part in range(3)),
        str(sum(each.failed for each in rounds)),
    )
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--ways", default=f"{IDEAL},{SERVERS},{GATEWAY}", help=f"{SERVERS}, {GATEWAY}, {IDEAL}, or a server's limit"
    )
    parser.add_argument("--shapes", default=",".join(SHAPES))
    given = parser.parse_args()
    ways = given.ways.split(",")
    print("| request | waits in | p50 | p99 | mean | longest | drained after | CPU each: gateway | Envoy | servers | failed |")
    print("|---" * 11 + "|")
    for shape in (SHAPES[name] for name in given.shapes.split(",")):
        with contextlib.ExitStack() as stack:
            sites = {way: stack.enter_context(site(shape, way)) for way in ways if way != IDEAL}
            rounds: dict[str, list[Round]] = {way: [ideal(shape)] if way == IDEAL else [] for way in ways}
            for _ in range(given.rounds):
                for way, each in sites.items():
                    rounds[way].append(each.round(shape))
            for way in ways:
                show(shape, way, rounds[way])


if __name__ == "__main__":
    main()
