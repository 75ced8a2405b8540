"""What a good client notices of bad ones: `python bench/hostile_clients.py [--seconds 2] [--idle 1000] [--threads 4]`.

For each kind of bad client in turn, against a server and against the gateway in front of it: how long a good client's requests
take meanwhile, as a ratio to the calm before, and how much memory the processes took at most. All of them share the machine's
cores, so that the ratio holds what the bad clients take of them: the row "as much of what is allowed" is to compare. The table
is Markdown. Each idle connection takes a descriptor here and one of the server or of Envoy: all of them raise their own limit
to the hard one (`ulimit -Hn`), and the table says how many connections there were.
"""

import argparse
import http.client
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

import grpc

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from forebay_schema.routes import Endpoint
from gateway_clients import routed
from gateway_processes import GatewayProcess
from hostile_clients import ATTACKS, Place, idle_connections, infer_message, ones, under_attack
from runtime_models import add_model, put_model
from runtime_servers import Server, running_server, wait_for

_WIDTH = 16
_OK = 200
_PATIENCE_S = 60.0
_GRPC_PORT = ("gRPC", "pings")
"""How kinds begin that come to the port for gRPC: there the good client asks by gRPC."""
_COLUMNS = (
    "at",
    "bad clients",
    "good client",
    "p50 ratio",
    "p99 ratio",
    "p99 ms",
    "longest ms",
    "good requests",
    "failed",
    "MiB",
)


@dataclass
class Figures:
    """Times of one phase in seconds, and requests that got no good answer."""

    seconds: list[float] = field(default_factory=list[float])
    failed: int = 0

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))] if self.seconds else 0.0


@dataclass
class Target:
    """Where bad and good clients go, and the processes that have to stand it."""

    name: str
    place: Place
    pids: Sequence[int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1: a good client's request failed, or a process ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--idle", type=int, default=1000, help="idle connections for each protocol")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds of bad clients with this in their name")
    given = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        put_model(Path(folder) / "models", "m", add_model())
        arguments_of_server = ("--model-repository", str(Path(folder) / "models"))
        with running_server(Path(folder) / "server", *arguments_of_server) as server, GatewayProcess.running() as gateway:
            wait_for(lambda: server.request("GET", "/v2/health/ready").status == _OK, "the model is loaded")
            gateway.route(routed("m", Endpoint(host="127.0.0.1", http=server.http, grpc=server.grpc)))
            print("|", " | ".join(_COLUMNS), "|")
            print("|" + "---|" * len(_COLUMNS))
            measured = [measure(target, given) for target in _targets(server, gateway)]
            alive = all(process is not None and process.poll() is None for process in (server.process, gateway.process))
    asked, failed = (sum(column) for column in zip(*measured, strict=True))
    print(f"\n{failed} of {asked} requests of good clients failed; all processes are {'there' if alive else 'NOT there'}")
    return 0 if alive and not failed else 1


def _targets(server: Server, gateway: GatewayProcess) -> tuple[Target, Target]:
    assert gateway.process is not None
    return (
        Target("server", Place(server.http, server.grpc, "m.default", "m"), [server.process.pid]),
        Target(
            "gateway",
            Place(gateway.http_port, gateway.grpc_port, "m.default", "m"),
            [gateway.process.pid, gateway.envoy_pid],
        ),
    )


def measure(target: Target, given: argparse.Namespace) -> tuple[int, int]:
    """Print the rows of one place; how many requests good clients have sent, and how many failed."""
    place = target.place
    kinds: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "as much of what is allowed": partial(under_attack, _allowed, place, given.threads),
        "idle connections": partial(idle_connections, place.http, given.idle),
        "gRPC idle connections": partial(idle_connections, place.grpc, given.idle),
        **{kind: partial(under_attack, attack, place, given.threads) for kind, attack in ATTACKS.items()},
    }
    asked = failed = 0
    for kind, attack in kinds.items():
        if given.only not in kind:
            continue
        by_grpc = kind.startswith(_GRPC_PORT)
        client = grpc_client if by_grpc else http_client
        calm = client(place, given.seconds)
        for pid in target.pids:
            forget_peak(pid)
        with attack() as count:
            busy = client(place, given.seconds)
        asked += len(calm.seconds) + len(busy.seconds)
        failed += calm.failed + busy.failed
        print(
            f"| {target.name} | {f'{count} ' if isinstance(count, int) else ''}{kind} | {'gRPC' if by_grpc else 'HTTP'}",
            f"{busy.percentile(0.5) / calm.percentile(0.5):.1f}",
            f"{busy.percentile(0.99) / calm.percentile(0.99):.1f}",
            *(f"{busy.percentile(share) * 1000:.1f}" for share in (0.99, 1.0)),
            f"{len(busy.seconds)} | {busy.failed} | {sum(map(peak_mib, target.pids))} |",
            sep=" | ",
            flush=True,
        )
    return asked, failed


def http_client(place: Place, seconds: float) -> Figures:
    """One client with one connection, that asks again as soon as it is answered."""
    figures, body = Figures(), ones(_WIDTH)
    connection = http.client.HTTPConnection("127.0.0.1", place.http, timeout=_PATIENCE_S)

    def good() -> bool:
        try:
            connection.request("POST", f"/v2/models/{place.model}/infer", body, {"Host": place.host})
            answer = connection.getresponse()
            return answer.status == _OK and b'"data":[2.0' in answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return False

    _ask(good, seconds, figures)
    connection.close()
    return figures


def grpc_client(place: Place, seconds: float) -> Figures:
    """The same by gRPC."""
    figures, message = Figures(), infer_message(place.model, _WIDTH)
    options = [("grpc.default_authority", place.host), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{place.grpc}", options) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        def good() -> bool:
            try:
                return b"\x00\x00\x00\x40" in call(message, timeout=_PATIENCE_S)
            except grpc.RpcError:
                return False

        _ask(good, seconds, figures)
    return figures


def _ask(good: Callable[[], bool], seconds: float, figures: Figures) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        figures.failed += not good()
        figures.seconds.append(time.perf_counter() - began)


def forget_peak(pid: int) -> None:
    """So that the peak is this row's own; where the kernel does not let us, it is that of all rows so far."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def _allowed(place: Place, over: Event) -> None:
    while not over.is_set():
        http_client(place, 0.1)


if __name__ == "__main__":
    sys.exit(main())
