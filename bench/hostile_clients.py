"""What a good client notices of bad ones: `python bench/hostile_clients.py [--seconds 2] [--idle 1000] [--threads 4]`.

For each kind of bad client in turn, against a server and against the gateway in front of it: how long a good client's requests
take meanwhile, as a ratio to the calm before, and how much memory the processes took at most. All of them share the machine's
cores, so that the ratio holds what the bad clients take of them: the row "as much of what is allowed" is to compare.
"""

import argparse
import http.client
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from forebay_schema.routes import Endpoint
from gateway_clients import routed
from gateway_processes import GatewayProcess
from hostile_clients import ATTACKS, Place, idle_connections, ones, under_attack
from runtime_models import add_model, put_model
from runtime_servers import running_server, wait_for

_WIDTH = 16
_OK = 200


@dataclass
class Figures:
    """Times of one phase in seconds, and requests that got no good answer."""

    seconds: list[float] = field(default_factory=list[float])
    failed: int = 0

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))] if self.seconds else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1: a good client's request failed, or a process ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--idle", type=int, default=1000, help="idle connections; each takes a descriptor here and there")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds of bad clients with this in their name")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        put_model(Path(folder) / "models", "m", add_model())
        arguments_of_server = ("--model-repository", str(Path(folder) / "models"))
        with running_server(Path(folder) / "server", *arguments_of_server) as server, GatewayProcess.running() as gateway:
            wait_for(lambda: server.request("GET", "/v2/health/ready").status == _OK, "the model is loaded")
            gateway.route(routed("m", Endpoint(host="127.0.0.1", http=server.http, grpc=server.grpc)))
            assert gateway.process is not None
            pids = {"server": [server.process.pid], "gateway": [gateway.process.pid, gateway.envoy_pid]}
            places = {
                "server": Place(server.http, server.grpc, "m.default", "m"),
                "gateway": Place(gateway.http_port, gateway.grpc_port, "m.default", "m"),
            }
            failed = sum(measure(name, place, pids[name], given) for name, place in places.items())
            alive = all(process.poll() is None for process in (server.process, gateway.process))
    print(f"{failed} requests of good clients failed; all processes are {'there' if alive else 'NOT there'}")
    return 0 if alive and not failed else 1


def measure(name: str, place: Place, pids: Sequence[int], given: argparse.Namespace) -> int:
    """Print the table of one place; how many good requests failed."""
    titles, widths = ("p50 ratio", "p99 ratio", "p99 ms", "requests", "failed", "MiB"), (9, 9, 8, 8, 6, 6)
    print(f"{name:8} {'bad clients':28}", *(f"{title:>{width}}" for title, width in zip(titles, widths, strict=True)))
    failed = 0
    kinds: dict[str, AbstractContextManager[object]] = {
        "as much of what is allowed": under_attack(_allowed, place, given.threads),
        f"{given.idle} idle connections": idle_connections(place.http, given.idle),
        **{kind: under_attack(attack, place, given.threads) for kind, attack in ATTACKS.items()},
    }
    for kind, attack in kinds.items():
        if given.only not in kind:
            continue
        calm = good_client(place, given.seconds)
        with attack:
            busy = good_client(place, given.seconds)
        failed += calm.failed + busy.failed
        print(
            f"{name:8} {kind:28} {busy.percentile(0.5) / calm.percentile(0.5):9.1f}"
            f" {busy.percentile(0.99) / calm.percentile(0.99):9.1f} {busy.percentile(0.99) * 1000:8.1f}"
            f" {len(busy.seconds):8} {busy.failed:6} {sum(map(peak_mib, pids)):6}"
        )
    return failed


def good_client(place: Place, seconds: float) -> Figures:
    """One client with one connection, that asks again as soon as it is answered."""
    figures, body = Figures(), ones(_WIDTH)
    connection = http.client.HTTPConnection("127.0.0.1", place.http, timeout=60)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        try:
            connection.request("POST", f"/v2/models/{place.model}/infer", body, {"Host": place.host})
            answer = connection.getresponse()
            good = answer.status == _OK and b'"data":[2.0' in answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            good = False
        figures.failed += not good
        figures.seconds.append(time.perf_counter() - began)
    connection.close()
    return figures


def peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def _allowed(place: Place, over: Event) -> None:
    while not over.is_set():
        good_client(place, 0.1)


if __name__ == "__main__":
    sys.exit(main())
