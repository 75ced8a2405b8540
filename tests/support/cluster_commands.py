"""The command line, run against a cluster of the tests."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster_api import Api, eventually
from cluster_site import Site

Done = subprocess.CompletedProcess[str]


def run(*arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> Done:
    """`forebay …`."""
    return subprocess.run(
        [sys.executable, "-m", "forebay_operator.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, **(environment or {})},
    )


@dataclass(frozen=True)
class Commands:
    """`forebay … --kubeconfig …`, in one namespace."""

    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, stdin: str = "") -> Done:
        return run(*arguments, "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, stdin=stdin)


def commands_of(here: Site) -> Commands:
    """As an administrator."""
    return Commands(here.access.kubeconfig, here.namespace)


def commands_as(here: Site, account: str, *roles: str) -> Commands:
    """As an account that has cluster roles in this namespace, and no rights elsewhere."""
    here.api.create(f"/api/v1/namespaces/{here.namespace}/serviceaccounts", {"metadata": {"name": account}})
    for role in roles:
        _bind(here.api, here.namespace, account, role)
    path = f"/api/v1/namespaces/{here.namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = eventually(lambda: here.api.create(path, request)["status"]["token"], "the account gets no token")
    config = yaml.safe_load(here.access.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    kubeconfig = here.folder / f"{account}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return Commands(kubeconfig, here.namespace)


def _bind(api: Api, namespace: str, account: str, role: str) -> None:
    binding = {
        "metadata": {"name": f"{account}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }
    api.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)
