"""Where the proof on a node takes place: a release, a namespace of models, and a pod that asks them."""

import contextlib
import json
import shlex
import subprocess
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from node_kubectl import Json, Kubectl, wait

ROOT: Final = Path(__file__).parents[2]
RELEASE: Final = "forebay"
SYSTEM: Final = "forebay-system"
MODELS: Final = "forebay-node-proof"
MODEL: Final = "digits"
CLIENT: Final = "client"
SERVERS: Final = "app.kubernetes.io/component=server"
_SCRIPTS: Final = ROOT / "tests" / "node"
_PYTHON: Final = "/opt/forebay/bin/python"
_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster, and what a person told the proof about it."""

    kubectl: Kubectl
    values: tuple[Path, ...]
    client_image: str
    hooks: Mapping[str, str]
    """Commands that do to the node what no Kubernetes API does: stop its kubelet, for example."""

    def do(self, hook: str, **said: str) -> None:
        line = [part.format(**said) for part in shlex.split(self.hooks[hook])]
        subprocess.run(line, check=True, capture_output=True, timeout=120)

    def model(self, name: str = MODEL) -> Json:
        return self.kubectl.get("mdep", name, MODELS)

    def summary(self, name: str = MODEL) -> str:
        return str(self.model(name).get("status", {}).get("summary", ""))

    def ready(self, name: str = MODEL) -> int:
        return int(self.model(name).get("status", {}).get("readyReplicas", 0))

    def endpoints(self, name: str = MODEL) -> list[str]:
        """The addresses of the servers that have it."""
        traffic: list[Json] = self.model(name).get("status", {}).get("traffic", [])
        return sorted(each["host"] for route in traffic for each in route["endpoints"])

    def servers(self) -> list[Json]:
        """The servers' pods that are not about to go."""
        found = self.kubectl.items("pods", MODELS, SERVERS)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def wait_ready(self, replicas: int, name: str = MODEL, timeout_s: float = 180) -> None:
        what = f"{name} with {replicas} ready replicas"
        wait(lambda: self.ready(name) == replicas, what, timeout_s)

    def scale(self, least: int, most: int, name: str = MODEL) -> None:
        """Change its limits."""
        self.kubectl.patch("mdep", name, MODELS, {"spec": {"autoscaling": _limits(least, most)}})

    def is_complete(self, name: str) -> bool:
        """Whether a Deployment of the chart has all its pods, ready and of the present template, and no others."""
        deployment = self.kubectl.get("deployment", f"forebay-{name}", SYSTEM)
        status, wanted = deployment["status"], deployment["spec"]["replicas"]
        pods = self.kubectl.items("pods", SYSTEM, f"app.kubernetes.io/component={name}")
        current = status.get("observedGeneration") == deployment["metadata"]["generation"]
        counts = {status.get(count, 0) for count in ("replicas", "updatedReplicas", "readyReplicas")} | {len(pods)}
        return current and counts == {wanted}

    def install(self, *settings: str) -> None:
        """Install the chart, or upgrade it."""
        values = [f"--values={path}" for path in self.values]
        changed = [f"--set={setting}" for setting in settings]
        place = [f"--namespace={SYSTEM}", "--create-namespace"]
        self.kubectl.helm("upgrade", "--install", RELEASE, str(ROOT / "charts" / "forebay"), *place, *values, *changed)

    def ask(self, way: str, name: str = MODEL, seconds: int = 60) -> str:
        """One prediction by the model's DNS name, from the client's pod; tries for so long."""
        said = self.run_in_client("/scripts/ask.py", way, f"{name}.{MODELS}", name, str(seconds))
        return said.strip()

    def start_asking(self, way: str, seconds: int) -> subprocess.Popen[str]:
        asked = ["/scripts/ask.py", way, f"{MODEL}.{MODELS}", MODEL, str(seconds)]
        return self.kubectl.start("exec", CLIENT, f"--namespace={MODELS}", "--", _PYTHON, *asked)

    def run_in_client(self, *arguments: str) -> str:
        return self.kubectl.run("exec", CLIENT, f"--namespace={MODELS}", "--", _PYTHON, *arguments)


@dataclass(frozen=True, slots=True)
class Requests:
    """What became of the requests of a load."""

    answered: int
    wrong: tuple[str, ...]
    """Answers that were errors."""
    cut: tuple[str, ...]
    """Connections that were closed without an answer."""
    per_second: float
    median_ms: float
    slowest_s: float
    slowest_connect_s: float
    """Name look-up and connecting, of the slowest."""
    slow: tuple[str, ...]
    """Which took more than a few seconds, and when they were sent."""

    def __str__(self) -> str:
        lost = f"{len(self.wrong)} errors, {len(self.cut)} connections cut"
        first = next(iter([*self.wrong, *self.cut]), "")
        speed = f"{self.per_second:.0f}/s, median {self.median_ms:.0f} ms, slowest {self.slowest_s:.1f} s"
        if self.slowest_connect_s > 1:
            speed += f", {self.slowest_connect_s:.1f} s to look a name up and connect"
        if self.slow:
            speed += f"; slow: {len(self.slow)}, such as {self.slow[0]}"
        return f"{self.answered} requests answered ({speed}), {lost}" + (f"; the first: {first}" if first else "")


@contextlib.contextmanager
def load(site: Site, threads: int = _THREADS, name: str = MODEL) -> Generator[list[Requests]]:
    """Requests as long as this lasts, by a process in the client's pod that needs no API server; then what became of them."""
    outcome: list[Requests] = []
    result, stop = f"/tmp/{name}.json", f"/tmp/{name}.stop"
    line = [_PYTHON, "/scripts/load.py", f"{name}.{MODELS}", "8000", name, str(threads), result, stop]
    inside = ["exec", CLIENT, f"--namespace={MODELS}", "--", "sh", "-c"]
    site.kubectl.run(*inside, f"rm -f {result} {stop}; {shlex.join(line)} > /tmp/load.log 2>&1 &")
    try:
        yield outcome
    finally:
        wait(lambda: site.kubectl.run(*inside, f"touch {stop} && echo stopped"), "the load to be told to stop", 180)
    text = wait(lambda: site.kubectl.run(*inside, f"cat {result}"), "the load to end", 180)
    outcome.append(_requests(json.loads(text)))


def _requests(said: Json) -> Requests:
    return Requests(
        said["answered"],
        tuple(f"at {at} s {what.strip()}" for at, what in said["wrong"]),
        tuple(f"at {at} s {what}" for at, what in said["cut"]),
        said["answered"] / max(said["seconds"], 0.001),
        said["median_s"] * 1000,
        said["slowest_s"],
        said["slowest_connect_s"],
        tuple(f"{took} s, sent at {at} s" for at, took in said["slow"]),
    )


def prepare(site: Site) -> None:
    """The namespace, under the strictest standard of pod security, and the client in it."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    site.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MODELS, "labels": labels}})
    scripts = {name: (_SCRIPTS / name).read_text(encoding="utf-8") for name in ("ask.py", "load.py")}
    site.kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CLIENT, "namespace": MODELS}, "data": scripts},
        _client(site.client_image),
    )
    site.kubectl.run("wait", "pod", CLIENT, f"--namespace={MODELS}", "--for=condition=Ready", "--timeout=120s")


def _client(image: str) -> Json:
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": CLIENT, "namespace": MODELS},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": CLIENT,
                    "image": image,
                    "command": ["sleep", "infinity"],
                    "securityContext": confined,
                    "volumeMounts": [{"name": "scripts", "mountPath": "/scripts"}],
                }
            ],
            "volumes": [{"name": "scripts", "configMap": {"name": CLIENT}}],
        },
    }


def example(name: str = MODEL, least: int = 0, most: int = 2) -> Json:
    """examples/digits.yaml in this namespace, by this name and within these limits."""
    made: Json = yaml.safe_load((ROOT / "examples" / "digits.yaml").read_text(encoding="utf-8"))
    made["metadata"] |= {"name": name, "namespace": MODELS}
    wanted = made["spec"]["autoscaling"] | _limits(least, most)
    made["spec"]["autoscaling"] = {field: value for field, value in wanted.items() if value is not None}
    return made


def _limits(least: int, most: int) -> Json:
    # What never goes to zero must not say when it does.
    return {"minReplicas": least, "maxReplicas": most, "scaleDownDelay": "10s", "idleTimeout": None if least else "10s"}
