"""The operator as a process, on a cluster of the tests."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from cluster_api import PATIENCE_S, Json, eventually
from cluster_control_plane import Access, die_with_parent


def settings(namespace: str, folder: Path, **changes: Any) -> Json:
    """The operator's settings for one namespace, with two simulated devices."""
    (folder / "store").mkdir(exist_ok=True)
    made: Json = {
        "schema": "forebay.dev/installation/v1",
        "namespaces": [namespace],
        "gatewayHost": "forebay-gateway.forebay-system.svc.cluster.local",
        "store": {"uri": str(folder / "store")},
        "servers": {"cpuImage": "forebay/runtime:test", "gpuImage": "forebay/runtime-gpu:test", "drainSeconds": 30},
        "conversions": {"image": "forebay/convert:test"},
        "devices": {"simulated": {"servers": 2, "memory": "1Gi"}},
        "settings": {"serverIdleSeconds": 2, "serverStartSeconds": 300},
        "leadership": {"name": f"forebay-{namespace}"},
        "auditSeconds": 5,
    }
    return made | changes


class OperatorProcess:
    """One operator; it can be killed and started again."""

    def __init__(self, access: Access, folder: Path, config: Json, name: str = "operator-1") -> None:
        self._access = access
        self._folder = folder
        self._name = name
        self._namespace = str(config["namespaces"][0])
        self._config = folder / f"{name}.yaml"
        self._config.write_text(yaml.safe_dump(config))
        self._key = folder / "key"
        self._key.write_text("a-key-for-tests-that-nobody-else-has")
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0
        """Where in the log the life of this process begins."""
        self.log = folder / f"{name}.log"

    def __enter__(self) -> "OperatorProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._started_at = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-W", "error::RuntimeWarning", "-m", "forebay_operator"),
                    *("--config", str(self._config), "--key-file", str(self._key), "--http-address", "127.0.0.1:0"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "KUBECONFIG": str(self._access.kubeconfig),
                    "POD_NAME": self._name,
                    "POD_NAMESPACE": self._namespace,
                },
                preexec_fn=die_with_parent,  # noqa: PLW1509 - nothing is allocated in the child
            )

    def stop(self) -> None:
        """End it as Kubernetes does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the operator did not end: {self.tail()}") from None
        self._process = None

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait_until_it_acts(self) -> None:
        """Since its last start."""
        self.wait_until_it_says("the first step is taken")

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of one of its pages."""
        address = eventually(self._address, "the operator does not listen")
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def lines(self) -> list[Json]:
        """What it logged since its last start."""
        found: list[Json] = []
        for line in self._text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"message": line})
        return found

    def said(self, message: str) -> bool:
        """Whether it logged this since its last start."""
        assert self._process is None or self._process.poll() is None, f"the operator has ended: {self.tail()}"
        return any(line.get("message") == message for line in self.lines())

    def wait_until_it_says(self, message: str) -> None:
        eventually(lambda: self.said(message), lambda: f"the operator does not say {message!r}: {self.tail()}")

    def tail(self) -> str:
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    def _text(self) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._started_at)
            return log.read().decode()

    def _address(self) -> str | None:
        found = re.findall(r'"address": "([^"]+)"', self._text())
        return found[-1] if found else None
