"""Plays the kubelet: the pods that the real controllers make run as processes of this machine, under the status of theirs."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cluster_api import Api, ApiError, Json
from cluster_control_plane import die_with_parent

_LOOK_S: Final = 0.15
NODE: Final = "played"
_SERVER: Final = "server"
_CONVERSION: Final = "conversion"
_lock = threading.Lock()
_addresses = iter(range(2, 65_000))


def _address() -> str:
    """A loopback address of its own: every pod has the same ports."""
    with _lock:
        number = next(_addresses)
    return f"127.77.{number // 250}.{number % 250 + 1}"


@dataclass
class PlayedPod:
    name: str
    uid: str
    component: str
    folder: Path
    address: str = field(default_factory=_address)
    process: subprocess.Popen[bytes] | None = None
    started: bool = False
    reported: str = ""

    @property
    def log(self) -> Path:
        return self.folder / "log"


class Kubelet:
    """Runs the pods of one namespace until it is closed."""

    def __init__(self, api: Api, namespace: str, folder: Path) -> None:
        self._api = api
        self._namespace = namespace
        self._folder = folder
        self._pods: dict[str, PlayedPod] = {}
        self._end = threading.Event()
        self.held: set[str] = set()
        """Components whose pods are not started."""
        self.trouble: Callable[[Json], Json | None] = lambda _: None
        """What a pod's status is instead, for pods that shall not start."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Kubelet":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for pod in self._pods.values():
            _kill(pod)

    def pods(self, component: str) -> list[PlayedPod]:
        return [pod for pod in list(self._pods.values()) if pod.component == component]

    def kill(self, pod: PlayedPod) -> None:
        """SIGKILL to a pod's process; its container is started again, as a kubelet does."""
        _kill(pod)

    def _run(self) -> None:
        while not self._end.wait(_LOOK_S):
            with contextlib.suppress(OSError, ApiError):
                self._look()

    def _look(self) -> None:
        present: set[str] = set()
        for content in self._api.all(f"/api/v1/namespaces/{self._namespace}/pods"):
            uid = content["metadata"]["uid"]
            present.add(uid)
            component = content["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
            if component in (_SERVER, _CONVERSION):
                self._tend(content, uid, component)
        for uid in set(self._pods) - present:
            _kill(self._pods.pop(uid))

    def _tend(self, content: Json, uid: str, component: str) -> None:
        name = content["metadata"]["name"]
        if "deletionTimestamp" in content["metadata"]:
            self._bury(name, uid)
            return
        if component in self.held or content.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        pod = self._pods.setdefault(uid, PlayedPod(name, uid, component, self._folder / name))
        if (instead := self.trouble(content)) is not None:
            self._report(pod, instead)
        elif component == _SERVER:
            self._tend_server(content, pod)
        else:
            self._tend_conversion(content, pod)

    def _tend_server(self, content: Json, pod: PlayedPod) -> None:
        if not pod.started:
            self._bind(pod)
        if pod.process is None or pod.process.poll() is not None:
            (pod.folder / "ready.json").unlink(missing_ok=True)
            pod.process = _start(pod, [sys.executable, "-m", "forebay_runtime", *self._server_arguments(content, pod)])
            pod.started = True
        ready = (pod.folder / "ready.json").exists()
        self._report(pod, _running(content, pod.address, is_ready=ready))

    def _server_arguments(self, content: Json, pod: PlayedPod) -> list[str]:
        pod.folder.mkdir(parents=True, exist_ok=True)
        token = pod.folder / "token"
        secret = self._api.get(f"/api/v1/namespaces/{self._namespace}/secrets/forebay-repository-token")
        token.write_bytes(base64.b64decode(secret["data"]["token"]))
        given = [
            argument.replace("0.0.0.0", pod.address)
            .replace("/scratch", str(pod.folder / "scratch"))
            .replace("/var/run/forebay/token/token", str(token))
            for argument in content["spec"]["containers"][0]["args"]
        ]
        return [*given, f"--ready-file={pod.folder / 'ready.json'}"]

    def _tend_conversion(self, content: Json, pod: PlayedPod) -> None:
        result = pod.folder / "result.json"
        if pod.process is None:
            self._bind(pod)
            order = pod.folder / "order.json"
            pod.folder.mkdir(parents=True, exist_ok=True)
            order.write_text(content["metadata"]["annotations"]["forebay.dev/order"])
            arguments = [f"--order={order}", f"--result={result}", f"--work={pod.folder}"]
            pod.process = _start(pod, [sys.executable, "-m", "forebay_convert", *arguments])
        code = pod.process.poll()
        if code is None:
            self._report(pod, _running(content, pod.address, is_ready=True))
        else:
            self._report(pod, _ended(content, code, result.read_text() if result.exists() else ""))

    def _bind(self, pod: PlayedPod) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name},
            "target": {"kind": "Node", "name": NODE},
        }
        with contextlib.suppress(ApiError):
            self._api.create(f"/api/v1/namespaces/{self._namespace}/pods/{pod.name}/binding", binding)

    def _report(self, pod: PlayedPod, status: Json) -> None:
        text = json.dumps(status, sort_keys=True)
        if text != pod.reported:
            path = f"/api/v1/namespaces/{self._namespace}/pods/{pod.name}/status"
            self._api.call("PATCH", path, {"status": status}, "application/strategic-merge-patch+json")
            pod.reported = text

    def _bury(self, name: str, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is not None and pod.process is not None and pod.process.poll() is None:
            pod.process.send_signal(signal.SIGTERM)
            return
        path = f"/api/v1/namespaces/{self._namespace}/pods/{name}"
        with contextlib.suppress(ApiError):
            self._api.call("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})


def _start(pod: PlayedPod, command: list[str]) -> subprocess.Popen[bytes]:
    pod.folder.mkdir(parents=True, exist_ok=True)
    with pod.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", "TMPDIR": str(pod.folder)},
            # The thread that starts it lives as long as the tests want it.
            preexec_fn=die_with_parent,  # noqa: PLW1509 - nothing is allocated in the child
        )


def _kill(pod: PlayedPod) -> None:
    if pod.process is not None and pod.process.poll() is None:
        pod.process.kill()
    if pod.process is not None:
        pod.process.wait()


def _container(content: Json, state: Json, *, is_ready: bool) -> Json:
    first = content["spec"]["containers"][0]
    return {
        "name": first["name"],
        "image": first["image"],
        "imageID": "",
        "ready": is_ready,
        "started": True,
        "restartCount": 0,
        "state": state,
    }


def _conditions(*, is_ready: bool) -> list[Json]:
    word = "True" if is_ready else "False"
    since = "2026-01-01T00:00:00Z"
    return [{"type": kind, "status": word, "lastTransitionTime": since} for kind in ("Ready", "ContainersReady")]


def _running(content: Json, address: str, *, is_ready: bool) -> Json:
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": _conditions(is_ready=is_ready),
        "containerStatuses": [
            _container(content, {"running": {"startedAt": content["metadata"]["creationTimestamp"]}}, is_ready=is_ready)
        ],
    }


def _ended(content: Json, code: int, message: str) -> Json:
    ended: dict[str, Any] = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": message}
    moment = content["metadata"]["creationTimestamp"]
    return {
        "phase": "Succeeded" if code == 0 else "Failed",
        "conditions": _conditions(is_ready=False),
        "containerStatuses": [
            _container(content, {"terminated": {**ended, "startedAt": moment, "finishedAt": moment}}, is_ready=False)
        ],
    }
