"""A control plane of child processes: etcd, kube-apiserver, kube-controller-manager. No node, nothing that needs root.

Where the programs are found, or how they are built, says `cluster_programs`.
"""

import contextlib
import ctypes
import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster_api import PATIENCE_S, Api, ApiError
from free_ports import free_ports

_LOOPBACK: Final = "127.0.0.1"
_ADMIN: Final = "admin-token-of-the-tests"
_MANAGER: Final = "manager-token-of-the-tests"


@dataclass(frozen=True)
class Access:
    """A cluster that tests may use."""

    kubeconfig: Path
    api: Api


class ControlPlane:
    """Starts, stops and starts again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = dict(zip(("etcd", "peer", "api", "manager"), free_ports(4), strict=True))
        self.server = f"https://{_LOOPBACK}:{self._ports['api']}"
        self.api = Api(self.server, _ADMIN)
        self.kubeconfig = folder / "kubeconfig"
        self.audit_log = folder / "audit.log"

    @property
    def access(self) -> Access:
        return Access(self.kubeconfig, self.api)

    def start(self) -> None:
        """Start all of it, and wait until it works."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_tokens()
        self._write_audit_policy()
        self._launch("etcd", self._etcd())
        key = self._folder / "etcd" / "fixtures" / "peer" / "key.pem"
        _wait(key.exists, "etcd made no key")
        self.start_api_server()
        self.kubeconfig.write_text(self._kubeconfig(_ADMIN))
        manager = self._folder / "manager.kubeconfig"
        manager.write_text(self._kubeconfig(_MANAGER))
        self._launch("kube-controller-manager", self._manager(manager))
        _wait(self._has_default_account, "the controllers do not work")

    def start_api_server(self) -> None:
        self._launch("kube-apiserver", self._api_server())
        _wait(self._answers, "the API server is not ready")

    def stop_api_server(self) -> None:
        self._end("kube-apiserver")

    def stop(self) -> None:
        """End every process."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self._end(name)

    def _launch(self, name: str, flags: dict[str, object]) -> None:
        command = [str(self._programs / name), *(f"--{flag}={value}" for flag, value in flags.items())]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - the tests have one thread when they start it
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _etcd(self) -> dict[str, object]:
        client, peer = f"http://{_LOOPBACK}:{self._ports['etcd']}", f"https://{_LOOPBACK}:{self._ports['peer']}"
        return {
            "name": "tests",
            "data-dir": self._folder / "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"tests={peer}",
            # Makes a key, too, which service accounts' tokens can be signed with.
            "peer-auto-tls": "true",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }

    def _api_server(self) -> dict[str, object]:
        key = self._folder / "etcd" / "fixtures" / "peer" / "key.pem"
        return {
            "etcd-servers": f"http://{_LOOPBACK}:{self._ports['etcd']}",
            "bind-address": _LOOPBACK,
            "advertise-address": _LOOPBACK,
            "secure-port": self._ports["api"],
            "endpoint-reconciler-type": "none",
            "cert-dir": self._folder / "certificates",
            "authorization-mode": "RBAC",
            "token-auth-file": self._folder / "tokens.csv",
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-cluster-ip-range": "10.96.0.0/16",
            "audit-policy-file": self._folder / "audit-policy.json",
            "audit-log-path": self.audit_log,
            "audit-log-mode": "blocking",
        }

    def _manager(self, kubeconfig: Path) -> dict[str, object]:
        return {
            "kubeconfig": kubeconfig,
            "bind-address": _LOOPBACK,
            "secure-port": self._ports["manager"],
            "cert-dir": self._folder / "manager-certificates",
            "leader-elect": "false",
            # Nodes and pods are played: nobody may judge them by heartbeats.
            "controllers": "*,-node-lifecycle-controller,-taint-eviction-controller",
            "service-account-private-key-file": self._folder / "etcd" / "fixtures" / "peer" / "key.pem",
            "kube-api-qps": 500,
            "kube-api-burst": 500,
        }

    def _write_tokens(self) -> None:
        lines = [f'{_ADMIN},admin,1,"system:masters"', f"{_MANAGER},system:kube-controller-manager,2"]
        # With one set of credentials for all controllers it needs the rights of all of them.
        lines[1] = f'{_MANAGER},manager,2,"system:masters"'
        (self._folder / "tokens.csv").write_text("\n".join(lines) + "\n")

    def _write_audit_policy(self) -> None:
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            # What tests themselves look at, again and again, would be most of it.
            "rules": [{"level": "None", "users": ["admin"], "verbs": ["get", "list"]}, {"level": "Metadata"}],
        }
        (self._folder / "audit-policy.json").write_text(json.dumps(policy))

    def _kubeconfig(self, token: str) -> str:
        cluster = {"server": self.server, "insecure-skip-tls-verify": True}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "tests", "cluster": cluster}],
                "users": [{"name": "tests", "user": {"token": token}}],
                "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
                "current-context": "tests",
            }
        )

    def _answers(self) -> bool:
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} has ended: {(self._folder / f'{name}.log').read_text()[-3000:]}"
        with contextlib.suppress(OSError, ApiError):
            return self.api.text("/readyz") == "ok"
        return False

    def _has_default_account(self) -> bool:
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} has ended: {(self._folder / f'{name}.log').read_text()[-3000:]}"
        return self.api.find("/api/v1/namespaces/default/serviceaccounts/default") is not None


def die_with_parent() -> None:
    """In a child before its program: be killed when the tests are."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)


def _wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} after {PATIENCE_S:.0f} s"
        time.sleep(0.05)
