"""A real API server for the time of a test module: etcd and kube-apiserver as child processes, on 127.0.0.1."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import yaml

from chart_rendering import Json, program

_REMEDY: Final = (
    "set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl (`setup-envtest use -p path` prints one)"
)
_TOKEN: Final = "admin"
_START_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Ask:
    """May it? `what`: `RESOURCE.GROUP/SUBRESOURCE`, both of the latter where there are any. No namespace: of none."""

    verb: str
    what: str
    namespace: str = ""
    name: str = ""

    def review(self, user: str) -> Json:
        kind, _, subresource = self.what.partition("/")
        resource, _, group = kind.partition(".")
        attributes = {
            "verb": self.verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": _groups(user), "resourceAttributes": attributes},
        }


def _groups(user: str) -> list[str]:
    namespace = user.split(":")[2]
    return ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A running API server; its kubectl acts as an administrator."""

    address: str
    kubectl_path: str

    def kubectl(self, *arguments: str, given: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl. `given`: its standard input."""
        flags = [f"--server={self.address}", f"--token={_TOKEN}", "--insecure-skip-tls-verify"]
        environment = {**os.environ, "KUBECONFIG": os.devnull}
        made = subprocess.run(
            [self.kubectl_path, *flags, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
            check=False,
        )
        assert not check or made.returncode == 0, made.stderr
        return made

    def create(self, *objects: Json) -> None:
        self.kubectl("create", "--validate=strict", "-f", "-", given=yaml.safe_dump_all(objects))

    def allowed(self, account: str, asks: Sequence[Ask]) -> list[Ask]:
        """What of all this a ServiceAccount (`NAMESPACE:NAME`) may do."""
        given = yaml.safe_dump_all([ask.review(f"system:serviceaccount:{account}") for ask in asks])
        made = self.kubectl("create", "-f", "-", "--output=json", given=given).stdout
        answers = list(_json_values(made))
        assert len(answers) == len(asks)
        return [ask for ask, answer in zip(asks, answers, strict=True) if answer["status"]["allowed"]]


def _json_values(text: str) -> Iterator[Json]:
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at)
        at += 1
        yield value


@contextlib.contextmanager
def running(folder: Path) -> Generator[ApiServer]:
    """An empty cluster without controllers, gone at the end. The test is skipped where the programs are not found."""
    etcd, server, kubectl = (program(name, _REMEDY) for name in ("etcd", "kube-apiserver", "kubectl"))
    etcd_port, peer_port, port = _free_ports(3)
    _write_credentials(folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process(_etcd_command(etcd, folder, etcd_port, peer_port), folder / "etcd.log"))
        log = folder / "kube-apiserver.log"
        process = stack.enter_context(_process(_server_command(server, folder, etcd_port, port), log))
        address = f"https://127.0.0.1:{port}"
        _wait_until_ready(address, process, log)
        yield ApiServer(address, kubectl)


def _etcd_command(path: str, folder: Path, port: int, peer_port: int) -> list[str]:
    return [
        path,
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{port}",
        f"--advertise-client-urls=http://127.0.0.1:{port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
        f"--initial-cluster=default=http://127.0.0.1:{peer_port}",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def _server_command(path: str, folder: Path, etcd_port: int, port: int) -> list[str]:
    return [
        path,
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--external-hostname=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        # It may not announce itself with an address that pods could not reach.
        "--endpoint-reconciler-type=none",
        "--authorization-mode=RBAC",
        "--watch-cache=false",
    ]


def _write_credentials(folder: Path) -> None:
    (folder / "tokens.csv").write_text(f"{_TOKEN},admin,admin,system:masters\n", encoding="utf-8")
    openssl = program("openssl", "install it")
    command = [openssl, "genrsa", "-out", str(folder / "accounts.key"), "2048"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Generator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = _started(command, output)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _started(command: list[str], output: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    # Its certificate is one that it made itself a moment ago.
    trusting = ssl._create_unverified_context()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        request = urllib.request.Request(f"{address}/readyz", headers={"Authorization": f"Bearer {_TOKEN}"})
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5, context=trusting) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"kube-apiserver is not ready: {log.read_text(errors='replace')[-2000:]}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
