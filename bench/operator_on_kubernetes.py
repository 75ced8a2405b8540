"""What the operator costs on a real API server: `KUBEBUILDER_ASSETS=… python bench/operator_on_kubernetes.py [MODELS]`
(0: only the second part).

Two parts, judged by processor time, so that what else runs on the machine counts less:

- an operator with 5,000 ModelDeployments at zero and 10 servers (their pods are made by the real controllers, their pages are
  answered here): how it starts, first with nothing written and then with everything written, what a turn costs when nothing
  changes, how soon a new ModelDeployment is acted on, and what it writes, as the API server's audit log has it;
- 1,000 servers, all answered here, whose two pages are read each second: first with figures that are others at each look, then
  with figures that stay as they are.
"""

import asyncio
import contextlib
import functools
import http.client
import itertools
import json
import os
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import cluster_programs
from cluster_api import Api, ApiError, Json, eventually
from cluster_control_plane import ControlPlane
from cluster_kubelet import NODE
from cluster_operator import OperatorProcess, settings
from forebay_operator import translate
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.domain.revisions import SpecIdentity, identify
from forebay_operator.domain.snapshot import DeviceClass, Pool
from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import PODS
from forebay_operator.manifests.pool import pool_text
from forebay_operator.worlds.kubernetes.claims import Claims
from forebay_operator.worlds.kubernetes.servers import Servers, Tokens
from forebay_operator.worlds.kubernetes.store import Store
from forebay_schema.demand import DemandLine

ROOT: Final = Path(__file__).parents[1]
NAMESPACE: Final = "bench"
MODELS: Final = 5_000
SERVERS: Final = 10
OBSERVED: Final = 1_000
_LOOKS: Final = 6
_LOOK_S: Final = 5.0
_LINE_S: Final = 0.25
_SAME: Final = 4
"""Looks in a row without a write after which all is written."""
_FRESH_S: Final = 1.5
_FAMILIES: Final = (
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
    "nv_inference_pending_request_count",
    "nv_model_load_duration_secs",
    "forebay_model_busy_seconds_total",
    "forebay_model_executing",
    "forebay_model_memory_bytes",
    "forebay_model_instances",
)
_DEVICE_FAMILIES: Final = ("nv_gpu_utilization", "nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes", "nv_cpu_utilization")
_PATH: Final = f"/apis/forebay.dev/v1alpha1/namespaces/{NAMESPACE}/modeldeployments"


# Servers that only answer.


@dataclass(frozen=True, slots=True)
class Answers:
    """What all servers answer; of the pages of metrics one after the other."""

    index: bytes
    metrics: tuple[bytes, ...]


def answers(models: list[str], different: int = 1) -> Answers:
    """A repository index and so many different pages of metrics of these models."""
    index = [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in models]
    return Answers(_answer(json.dumps(index).encode()), tuple(_metrics(models, 12345 * each) for each in range(different)))


def _metrics(models: list[str], more: int) -> bytes:
    lines: list[str] = []
    for number, family in enumerate(_FAMILIES):
        lines += [f"# HELP {family} What this family of metrics means, in some words", f"# TYPE {family} counter"]
        lines += [f'{family}{{model="{name}",version="1"}} {1234567 + number + more}' for name in models]
    for family in _DEVICE_FAMILIES:
        lines += [f"# HELP {family} Of the device", f"# TYPE {family} gauge", f'{family}{{gpu_uuid="GPU-0"}} 0.5']
    return _answer(("\n".join(lines) + "\n").encode())


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class StandIn(asyncio.Protocol):
    """Answers each request with the page that it asks for."""

    given: ClassVar = 0
    """How many pages were given so far, by all."""

    def __init__(self, said: Answers) -> None:
        self._pages = {b"POST": itertools.repeat(said.index), b"GET ": itertools.cycle(said.metrics)}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        # Requests are small and come one at a time: each is one piece.
        if data.startswith(b"GET /demand "):
            self._transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            self._report(1)
        else:
            StandIn.given += 1
            self._transport.write(next(self._pages[data[:4]]))

    def _report(self, sequence: int) -> None:
        """What a gateway says that nobody asks for anything."""
        if self._transport.is_closing():
            return
        line = DemandLine(gateway="gateway-1", sequence=sequence, routes="9" * 12)
        self._transport.write(f"{line.to_json()}\n".encode())
        asyncio.get_running_loop().call_later(_LINE_S, self._report, sequence + 1)


@contextlib.contextmanager
def stand_ins(addresses: list[tuple[str, int]], said: Answers) -> Generator[None]:
    """Answer at these addresses, by a thread of its own."""
    loop = asyncio.new_event_loop()

    async def listen() -> None:
        for host, port in addresses:
            await loop.create_server(lambda: StandIn(said), host, port, backlog=2048)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(listen(), loop).result()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


# A cluster with thousands of models.


class Seeder:
    """Makes ModelDeployments that were converted once, over connections that are kept."""

    def __init__(self, plane: ControlPlane) -> None:
        self._host = plane.server.removeprefix("https://")
        self._token = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]["token"]
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._local = threading.local()

    def seed(self, count: int) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(self._model, range(count)))

    def _model(self, number: int) -> None:
        name = f"model-{number:05}"
        made = model(name)
        identity = identify(NAMESPACE, translate.spec_of(ModelDeployment.from_object(made).spec))
        self._call("POST", _PATH, made, "application/json")
        status = {key: made[key] for key in ("apiVersion", "kind")} | {
            "metadata": {"name": name},
            "status": {"revision": 1, "replicas": 0, "readyReplicas": 0, "revisions": [revision(identity)]},
        }
        path = f"{_PATH}/{name}/status?fieldManager={names.FIELD_MANAGER}&force=true"
        self._call("PATCH", path, status, "application/apply-patch+yaml")

    def _call(self, method: str, path: str, body: Json, content_type: str) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPSConnection(self._host, context=self._context, timeout=60)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type, "Accept": "application/json"}
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < http.client.BAD_REQUEST, text


def model(name: str) -> Json:
    spec = {
        "model": {"source": {"uri": f"s3://models/{name}.onnx"}},
        "autoscaling": {"minReplicas": 0, "maxReplicas": 4},
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "forebay.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}


def revision(identity: SpecIdentity) -> Json:
    """What a status remembers of a revision that was converted."""
    said = json.loads(identity.serving)
    serving = {
        "maxBatchSize": said["max_batch_size"],
        "maxQueueDelayUs": said["max_queue_delay_us"],
        "maxQueueSize": said["max_queue_size"],
        "queueTimeoutUs": said["queue_timeout_us"],
        "instances": said["instances"],
        "provider": said["provider"],
    }
    report = {"samples": 64, "samplesFrom": "drawn", "maxRelativeError": 0, "agreement": 1}
    artifact = {
        "digest": "a" * 64,
        "sizeBytes": 1000,
        "sourceSha256": "b" * 64,
        "verification": report,
        "memoryBytes": 1 << 20,
        "batching": True,
    }
    return {"number": 1, "id": identity.revision_id, "serving": serving, "artifact": artifact}


class Pods:
    """Binds the pods of servers, and says that they are ready."""

    def __init__(self, api: Api, hosts: list[str]) -> None:
        self._api = api
        self._hosts = list(hosts)
        self._bound: set[str] = set()

    def tend(self) -> None:
        selector = f"labelSelector={names.COMPONENT}%3D{names.SERVER}"
        for pod in self._api.all(f"/api/v1/namespaces/{NAMESPACE}/pods?{selector}"):
            name = pod["metadata"]["name"]
            if name not in self._bound and self._hosts:
                self._bound.add(name)
                self._make_ready(name, pod, self._hosts.pop())

    def _make_ready(self, name: str, pod: Json, host: str) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"
        target = {"kind": "Node", "name": NODE}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        self._api.create(f"{path}/binding", binding)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]}
        status = {"phase": "Running", "podIP": host, "podIPs": [{"ip": host}], "conditions": [ready]}
        self._api.call("PATCH", f"{path}/status", {"status": status}, "application/strategic-merge-patch+json")


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has used."""

    cpu_s: float
    memory_mb: float

    @classmethod
    def of(cls, pid: int) -> "Use":
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return cls(cpu, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6)


class Bench:
    """One operator on a control plane of its own."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._plane = plane
        self._api = plane.api
        hosts = [f"127.78.0.{number + 1}" for number in range(SERVERS)]
        self._pods = Pods(self._api, hosts)
        self.addresses = [*((host, port) for host in hosts for port in (8000, 8002)), ("127.78.1.1", 8080)]
        config = settings(NAMESPACE, folder) | {
            "devices": {"simulated": {"servers": SERVERS, "memory": "8Gi"}},
            "settings": {"warmServers": SERVERS, "serverIdleSeconds": 100_000, "serverStartSeconds": 100_000},
            "auditSeconds": 60,
        }
        self._operator = OperatorProcess(plane.access, folder, config)

    def prepare(self, models: int) -> None:
        api = self._api
        definition = yaml.safe_load((ROOT / "crds" / "forebay.dev_modeldeployments.yaml").read_text())
        api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        api.create("/api/v1/nodes", {"metadata": {"name": NODE}})
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
        eventually(lambda: api.find(account) and self._serves(), "the API server is not ready")
        self._make_gateway(*self.addresses[-1])
        began = time.monotonic()
        Seeder(self._plane).seed(models)
        print(f"{models} ModelDeployments made in {time.monotonic() - began:.0f} s")

    def life(self, name: str, models: int, least: int) -> None:
        """Start, settle after at least so many writes, rest, act."""
        before, began = self._writes(), time.monotonic()
        self._operator.start()
        eventually(lambda: self._operator.said("the first step is taken"), self._operator.tail, 300)
        use = Use.of(self._operator.pid)
        print(f"{name}: acts after {time.monotonic() - began:.1f} s, {use.cpu_s:.1f} s of a core; {use.memory_mb:.0f} MB")
        writes = self._settle(least)
        use = Use.of(self._operator.pid)
        print(
            f"{name}: {writes - before} writes, the last after {time.monotonic() - began:.0f} s; "
            f"{use.cpu_s:.1f} s of a core; {use.memory_mb:.0f} MB; steps: {self._steps()}"
        )
        self._rest(name)
        self._act(name, models)
        self._operator.stop()

    def _make_gateway(self, host: str, port: int) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods"
        labels = {"app.kubernetes.io/component": "gateway", "app.kubernetes.io/part-of": "forebay"}
        ports = [{"name": "control", "containerPort": port}]
        spec = {"nodeName": NODE, "containers": [{"name": "gateway", "image": "forebay/gateway", "ports": ports}]}
        self._api.create(path, {"metadata": {"name": "gateway-1", "labels": labels}, "spec": spec})
        running = {"name": "gateway", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
        state = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
        status = {"phase": "Running", "podIP": host, "podIPs": [{"ip": host}], "containerStatuses": [running | state]}
        content_type = "application/strategic-merge-patch+json"
        self._api.call("PATCH", f"{path}/gateway-1/status", {"status": status}, content_type)

    def _serves(self) -> bool:
        """For a moment after a definition was made its kind is unknown, or being prepared."""
        with contextlib.suppress(ApiError):
            return bool(self._api.get(_PATH))
        return False

    def _settle(self, least: int) -> int:
        """How much was written when nothing more was for some looks."""
        counts: list[int] = []
        while len(counts) < _SAME or len(set(counts[-_SAME:])) > 1 or counts[-1] < least:
            time.sleep(_LOOK_S)
            self._pods.tend()
            counts.append(self._writes())
        return counts[-1]

    def _rest(self, name: str) -> None:
        before, began, written = Use.of(self._operator.pid), time.monotonic(), self._writes()
        time.sleep(_LOOKS * _LOOK_S)
        use, took = Use.of(self._operator.pid), time.monotonic() - began
        share = 100 * (use.cpu_s - before.cpu_s) / took
        more = self._writes() - written
        print(f"{name}: at rest {share:.1f} % of a core, {more} writes in {took:.0f} s; {use.memory_mb:.0f} MB")

    def _act(self, name: str, models: int) -> None:
        took: list[float] = []
        for number in range(5):
            one = f"{name.replace(' ', '-')}-{number}"
            began = time.monotonic()
            self._api.create(_PATH, model(one))
            eventually(functools.partial(self._has_summary, one), "no status", 120)
            took.append(time.monotonic() - began)
        print(f"{name}: a new ModelDeployment among {models} has a status after {', '.join(f'{each:.2f}' for each in took)} s")

    def _has_summary(self, name: str) -> bool:
        return bool((self._api.get(f"{_PATH}/{name}").get("status") or {}).get("summary"))

    def _writes(self) -> int:
        """All but the lease's and Events."""
        count = 0
        with self._plane.audit_log.open() as log:
            for line in log:
                if f'"userAgent":"{names.FIELD_MANAGER}"' in line and '"leases"' not in line and '"events"' not in line:
                    count += any(f'"verb":"{verb}"' in line for verb in ("patch", "create", "update", "delete"))
        return count

    def _steps(self) -> str:
        _, text = self._operator.page("/metrics")
        figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("forebay_operator_step_seconds_"))
        total, count = (float(figures[f"forebay_operator_step_seconds_{part}"]) for part in ("sum", "count"))
        return f"{count:.0f}, {1000 * total / max(count, 1):.0f} ms each"


def cluster(models: int) -> None:
    programs = cluster_programs.folder()
    if programs is None:
        print(f"no control plane, so only observing is measured: {cluster_programs.REMEDY}")
        return
    with tempfile.TemporaryDirectory() as folder:
        plane = ControlPlane(programs, Path(folder) / "plane")
        try:
            plane.start()
            bench = Bench(plane, Path(folder))
            bench.prepare(models)
            with stand_ins(bench.addresses, answers([])):
                bench.life("first life", models, 2 * models)
                bench.life("second life", models, 0)
        finally:
            plane.stop()


# A thousand servers.


def pod(number: int, pool: Pool, port: int) -> Json:
    metadata = {
        "name": f"{names.pool_deployment(pool, '')}-{number}",
        "namespace": NAMESPACE,
        "uid": f"uid-{number}",
        "resourceVersion": str(number + 1),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {names.COMPONENT: names.SERVER, names.POOL: names.pool_digest(pool)},
        "annotations": {names.POOL: pool_text(pool)},
    }
    ports = [{"name": name, "containerPort": port} for name in ("http", "grpc", "metrics")]
    status = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": metadata, "spec": {"containers": [{"name": "server", "ports": ports}]}, "status": status}


async def observe(port: int) -> list[float]:
    """Milliseconds of a core that it takes to look at all servers once, in turns of some seconds each."""
    store = Store(lambda _: None)
    pool = Pool(namespace=NAMESPACE, device=DeviceClass("simulated", "simulated", 1 << 30))
    for number in range(OBSERVED):
        store.put(PODS, pod(number, pool, port))
    claims = Claims(lambda _subject, _news: None)
    servers = Servers(store, Tokens(b"0123456789abcdef"), time.monotonic, lambda: None, claims=claims)
    task = asyncio.ensure_future(servers.run())
    await asyncio.sleep(_LOOK_S)
    while not servers.are_settled:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(_LOOK_S)
    costs: list[float] = []
    for _ in range(_LOOKS):
        cpu, given = time.thread_time(), StandIn.given
        await asyncio.sleep(_LOOK_S)
        costs.append(1000 * (time.thread_time() - cpu) * 2 * OBSERVED / (StandIn.given - given))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return costs


def thousand_servers() -> None:
    """A busy machine does not look at all of them in each second, so the figure is what a look takes."""
    models = ["digits-classifier", "sentiment-base"]
    for port, different, what in ((18_312, 10, "change"), (18_313, 1, "stay")):
        with stand_ins([("127.0.0.1", port)], answers(models, different)):
            costs = asyncio.run(observe(port))
        share = statistics.median(costs) / 10
        print(
            f"{OBSERVED} servers of {len(models)} models whose figures {what}: {share:.1f} % of a core "
            f"({min(costs) / 10:.1f} to {max(costs) / 10:.1f}), if all are looked at once a second"
        )


def main(arguments: list[str]) -> None:
    models = int(arguments[0]) if arguments else MODELS
    thousand_servers()
    if models:
        cluster(models)


if __name__ == "__main__":
    main(sys.argv[1:])
