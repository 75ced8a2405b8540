"""The server's throughput beside raw onnxruntime's, in turns: `python bench/runtime.py [--seconds 2] [--turns 3]`.

Two models, one of about ten milliseconds and one of about five microseconds; HTTP and gRPC; 1, 8 and 64 requests at once.
Raw is onnxruntime alone in a loop, in as many threads as the server can use for so many requests: one for each, up to the
model's instances, each with as many threads for an operator as the server gives it. Served and raw take turns, each served
turn is compared with the raw ones just before and after it, and the median of these ratios is shown with the lowest and the
highest: where they are far apart, something else ran on the machine. Clients run on the same cores as the server, so the
ratios are lower bounds, and for the small model they say as much of the client and the machine; the processor time of the
server (of onnxruntime alone) is less sensitive to all that.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import grpc
import numpy as np
import onnx
import onnxruntime
import uvloop
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from forebay_runtime.domain.device_spec import DeviceSpec
from forebay_runtime.engine.devices import open_device
from forebay_runtime.protocol.triton_messages import service
from runtime_models import add_model, put_model
from runtime_servers import Server, running_server, wait_for

CONCURRENCIES = (1, 8, 64)
HTTP_OK = 200
WIDTH = 256
STEPS = 16
CONFIG = "max_batch_size: {rows}\ndynamic_batching {{}}"


@dataclass(frozen=True)
class Model:
    name: str
    shape: tuple[int, ...]
    batch_limit: int

    @property
    def values(self) -> bytes:
        return np.zeros(self.shape, np.float32).tobytes()


MODELS = (Model("heavy", (1, WIDTH, WIDTH), 2), Model("tiny", (1, 16), 64))


def heavy_model() -> bytes:
    """Matrix products on 256 KiB of input, about ten milliseconds on one core; its cost is linear in the rows of a batch."""
    weights = (np.eye(WIDTH) + np.random.default_rng(1).standard_normal((WIDTH, WIDTH)) / 1000).astype(np.float32)
    names = ["x", *(f"h{step}" for step in range(STEPS - 1)), "y"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[step], "w"], [names[step + 1]]) for step in range(STEPS)],
        "heavy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH, WIDTH])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString())


@dataclass(frozen=True)
class Load:
    """Answers a second, and processor time for each."""

    per_second: float
    cpu_us: float


def raw_session(path: Path, operator_threads: int) -> onnxruntime.InferenceSession:
    """With the server's options."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = operator_threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def raw_throughput(session: onnxruntime.InferenceSession, model: Model, threads: int, seconds: float) -> Load:
    """Inferences a second by onnxruntime alone: one session, batches of one."""
    inputs = {"x": np.zeros(model.shape, np.float32)}
    end = time.perf_counter() + seconds
    counts = [0] * threads

    def work(index: int) -> None:
        while time.perf_counter() < end:
            session.run(None, inputs)
            counts[index] += 1

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    used = time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return Load(sum(counts) / seconds, (time.process_time() - used) * 1e6 / sum(counts))


def served_throughput(server: Server, protocol: str, model: Model, concurrency: int, seconds: float) -> Load:
    """Requests a second over one protocol, from a client process of its own."""
    port = server.http if protocol == "http" else server.grpc
    command = [sys.executable, __file__, "--client", protocol, "--port", str(port), "--model", model.name]
    command += ["--concurrency", str(concurrency), "--seconds", str(seconds)]
    before = cpu_seconds(server.process.pid)
    answered = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    used = cpu_seconds(server.process.pid) - before
    return Load(answered["in_time"] / seconds, used * 1e6 / answered["all"])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class HttpClient(asyncio.Protocol):
    """Sends its request again as soon as it is answered; answers are all of one size."""

    def __init__(self, request: bytes, end: float, done: asyncio.Future[None]) -> None:
        self._request = request
        self._end = end
        self._done = done
        self._received = b""
        self._size = 0
        self._left = 0
        self.in_time = 0
        self.all = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        if not self._size:
            self._received += data
            head, found, _ = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 200"), self._received
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            self._size = len(head) + 4 + int(length.partition(b":")[2])
            data, self._left = self._received, self._size
        self._left -= len(data)
        if self._left == 0:
            self._answered()

    def _answered(self) -> None:
        self.all += 1
        if time.perf_counter() < self._end:
            self.in_time += 1
            self._send()
        else:
            self._done.set_result(None)

    def _send(self) -> None:
        self._left = self._size
        self._transport.write(self._request)  # type: ignore[attr-defined]


async def http_client(port: int, model: Model, concurrency: int, seconds: float) -> tuple[int, int]:
    values = model.values
    entry = {"name": "x", "datatype": "FP32", "shape": model.shape, "parameters": {"binary_data_size": len(values)}}
    description = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    head = (
        f"POST /v2/models/{model.name}/infer HTTP/1.1\r\nHost: bench\r\n"
        f"Inference-Header-Content-Length: {len(description)}\r\nContent-Length: {len(description) + len(values)}\r\n\r\n"
    )
    request = head.encode() + description + values
    loop = asyncio.get_running_loop()
    end = time.perf_counter() + seconds
    clients: list[HttpClient] = []
    finished: list[asyncio.Future[None]] = []
    for _ in range(concurrency):
        done: asyncio.Future[None] = loop.create_future()
        client = HttpClient(request, end, done)
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
        clients.append(client)
        finished.append(done)
    await asyncio.gather(*finished)
    return sum(client.in_time for client in clients), sum(client.all for client in clients)


def grpc_client(port: int, model: Model, concurrency: int, seconds: float) -> tuple[int, int]:
    request = service.ModelInferRequest(model_name=model.name, raw_input_contents=[model.values])
    request.inputs.add(name="x", datatype="FP32", shape=model.shape)
    message = bytes(request.SerializeToString())
    end = time.perf_counter() + seconds
    counts = [[0, 0] for _ in range(concurrency)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=(("grpc.max_receive_message_length", -1),)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        def work(count: list[int]) -> None:
            while time.perf_counter() < end:
                call(message)
                count[1] += 1
                count[0] += time.perf_counter() < end

        workers = [threading.Thread(target=work, args=(count,)) for count in counts]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return sum(count[0] for count in counts), sum(count[1] for count in counts)


def run_client(arguments: argparse.Namespace) -> None:
    model = next(model for model in MODELS if model.name == arguments.model)
    given = (arguments.port, model, arguments.concurrency, arguments.seconds)
    if arguments.client == "http":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            in_time, answered = runner.run(http_client(*given))
    else:
        in_time, answered = grpc_client(*given)
    print(json.dumps({"in_time": in_time, "all": answered}))


def compare(seconds: float, turns: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for model, content in zip(MODELS, (heavy_model(), add_model()), strict=True):
            put_model(folder / "repository", model.name, content, config=CONFIG.format(rows=model.batch_limit))
        with running_server(folder / "server", "--model-repository", str(folder / "repository")) as server:
            wait_for(lambda: server.request("GET", "/v2/health/ready").status == HTTP_OK, "the models are loaded")
            print(
                f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, {os.cpu_count()} cores, {seconds} s a turn\n"
            )
            print(
                "| model | protocol | at once | answered/s | raw/s (threads) | of raw (lowest to highest) | CPU each (raw) |"
            )
            print("|---|---|---|---|---|---|---|")
            for model in MODELS:
                print_model(server, folder / "repository" / model.name / "1" / "model.onnx", model, seconds, turns)


def print_model(server: Server, path: Path, model: Model, seconds: float, turns: int) -> None:
    instances = int(server.metric("forebay_model_instances", model=model.name))
    session = raw_session(path, open_device(DeviceSpec("cpu")).threads(instances))
    for protocol in ("http", "grpc"):
        for concurrency in CONCURRENCIES:
            threads = min(concurrency, instances)
            raws = [raw_throughput(session, model, threads, seconds)]
            served: list[Load] = []
            for _ in range(turns):
                served.append(served_throughput(server, protocol, model, concurrency, seconds))
                raws.append(raw_throughput(session, model, threads, seconds))
            print(f"| {model.name} | {protocol} | {concurrency} | {compared(served, raws, threads)} |", flush=True)


def compared(served: Sequence[Load], raws: Sequence[Load], threads: int) -> str:
    """The cells of a row: each of `served` was measured between two of `raws`."""
    ratios = [
        200 * load.per_second / (before.per_second + after.per_second)
        for load, before, after in zip(served, raws[:-1], raws[1:], strict=True)
    ]
    answered, raw = (statistics.median(load.per_second for load in loads) for loads in (served, raws))
    cpu, raw_cpu = (statistics.median(load.cpu_us for load in loads) for loads in (served, raws))
    spread = f"{statistics.median(ratios):.0f} % ({min(ratios):.0f} to {max(ratios):.0f})"
    return f"{answered:,.0f} | {raw:,.0f} ({threads}) | {spread} | {cpu:,.0f} µs ({raw_cpu:,.0f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3, help="of the server, for each row")
    parser.add_argument("--client", choices=("http", "grpc"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--concurrency", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.client:
        run_client(given)
    else:
        compare(given.seconds, given.turns)


if __name__ == "__main__":
    main()
