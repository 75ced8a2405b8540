"""Plays the kubelet: the pods that the real controllers make run as processes of this machine, under the status of theirs."""

import base64
import contextlib
import ipaddress
import json
import os
import random
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
_ADDRESSES: Final = ipaddress.ip_network("127.64.0.0/10")


def _address() -> str:
    """A loopback address of its own, as every pod has the same ports: drawn, as other processes play pods at the same time."""
    return str(_ADDRESSES[random.SystemRandom().randrange(_ADDRESSES.num_addresses)])


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
    ended: list[Json] = field(default_factory=list[Json])
    """The states of those of its containers that are done; of a conversion."""

    def is_last(self, content: Json) -> bool:
        """Whether all its init containers are done."""
        return len(self.ended) == len(content["spec"].get("initContainers", []))

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

    def renew_secrets(self) -> None:
        """Put what is in Secrets by now into the volumes of running servers, as a kubelet does a minute or two later."""
        for pod in self.pods(_SERVER):
            self._write_token(pod)

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
        token = self._write_token(pod)
        given = [
            argument.replace("=any", f"={pod.address}")
            .replace("/scratch", str(pod.folder / "scratch"))
            .replace("/var/run/forebay/token/token", str(token))
            for argument in content["spec"]["containers"][0]["args"]
        ]
        return [*given, f"--ready-file={pod.folder / 'ready.json'}"]

    def _write_token(self, pod: PlayedPod) -> Path:
        token = pod.folder / "token"
        secret = self._api.get(f"/api/v1/namespaces/{self._namespace}/secrets/forebay-repository-token")
        token.write_bytes(base64.b64decode(secret["data"]["token"]))
        return token

    def _tend_conversion(self, content: Json, pod: PlayedPod) -> None:
        """Run its containers one after the other, as a kubelet runs init containers before the last."""
        containers = [*content["spec"].get("initContainers", []), *content["spec"]["containers"]]
        while pod.process is None or pod.process.poll() == 0:
            if pod.process is not None:
                pod.ended.append(self._ended(pod, containers[len(pod.ended)]))
                pod.process = None
            if len(pod.ended) == len(containers):
                return self._report(pod, _conversion(content, pod, "Succeeded"))
            missing = self._start_conversion(content, pod, containers[len(pod.ended)])
            if missing is not None:
                return self._report(pod, _conversion(content, pod, "Pending", {"waiting": missing}))
        if pod.process.poll() is None:
            running = {"running": {"startedAt": content["metadata"]["creationTimestamp"]}}
            return self._report(pod, _conversion(content, pod, "Running" if pod.is_last(content) else "Pending", running))
        failed = self._ended(pod, containers[len(pod.ended)])
        return self._report(pod, _conversion(content, pod, "Failed", failed))

    def _start_conversion(self, content: Json, pod: PlayedPod, container: Json) -> Json | None:
        """Start a container with the environment that it asks for; why it has to wait, if it has."""
        if not pod.started:
            self._bind(pod)
            pod.started = True
        environment: dict[str, str] = {}
        for source in container.get("envFrom", []):
            name = source["secretRef"]["name"]
            secret = self._api.find(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
            if secret is None:
                return {"reason": "CreateContainerConfigError", "message": f'secret "{name}" not found'}
            environment |= {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}
        pod.folder.mkdir(parents=True, exist_ok=True)
        order = pod.folder / "order.json"
        order.write_text(content["metadata"]["annotations"][_order_of(content, container)])
        places = {
            "/var/run/forebay/order/order.json": order,
            "/dev/termination-log": pod.folder / f"{container['name']}.message",
            "--work=/work": f"--work={pod.folder / 'work'}",
        }
        arguments = [_placed(argument, places) for argument in container["args"]]
        pod.process = _start(pod, [sys.executable, "-m", "forebay_convert", *arguments], environment)
        return None

    def _ended(self, pod: PlayedPod, container: Json) -> Json:
        message = pod.folder / f"{container['name']}.message"
        code = 1 if pod.process is None else pod.process.wait()
        ended = {"exitCode": code if code >= 0 else 128 - code, "reason": "Completed" if code == 0 else "Error"}
        return {"terminated": {**ended, "message": message.read_text() if message.exists() else ""}}

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


def _order_of(content: Json, container: Json) -> str:
    """The annotation that a container reads as its order."""
    mounted = {each["name"] for each in container["volumeMounts"]}
    (volume,) = [each for each in content["spec"]["volumes"] if each["name"] in mounted and "downwardAPI" in each]
    path: str = volume["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"]
    return path.removeprefix("metadata.annotations['").removesuffix("']")


def _placed(argument: str, places: dict[str, Any]) -> str:
    """An argument with paths of this machine."""
    for path, place in places.items():
        argument = argument.replace(path, str(place))
    return argument


def _start(pod: PlayedPod, command: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    pod.folder.mkdir(parents=True, exist_ok=True)
    with pod.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {}), "ORT_DISABLE_TELEMETRY": "1", "TMPDIR": str(pod.folder)},
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


def _conversion(content: Json, pod: PlayedPod, phase: str, current: Json | None = None) -> Json:
    """The status of a conversion's pod, whose containers before the current one are done, and wait after it."""
    before, last = content["spec"].get("initContainers", []), content["spec"]["containers"]
    waiting = {"waiting": {"reason": "PodInitializing"}}
    states = [*pod.ended, *([current] if current is not None else [])]
    moment = content["metadata"]["creationTimestamp"]
    shown = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": "",
            "ready": "terminated" in state,
            "restartCount": 0,
            "state": _timed(state, moment),
        }
        for each, state in zip([*before, *last], states + [waiting] * (len(before) + len(last) - len(states)), strict=True)
    ]
    return {
        "phase": phase,
        "podIP": pod.address,
        "podIPs": [{"ip": pod.address}],
        "conditions": _conditions(is_ready=False),
        "initContainerStatuses": shown[: len(before)],
        "containerStatuses": shown[len(before) :],
    }


def _timed(state: Json, moment: str) -> Json:
    ended = state.get("terminated")
    return state if ended is None else {"terminated": {**ended, "startedAt": moment, "finishedAt": moment}}
