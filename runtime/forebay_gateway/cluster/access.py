"""How the API server is reached. Read afresh for each connection: tokens and certificates are replaced on disk."""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HOST: Final = "KUBERNETES_SERVICE_HOST"
_PORT: Final = "KUBERNETES_SERVICE_PORT"
_LOCATION: Final = "KUBECONFIG"


class AccessError(Exception):
    """No API server can be reached; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Access:
    """An API server's address, and who we are there."""

    server: str
    context: ssl.SSLContext
    token: str = ""


def find_access(environment: Mapping[str, str] = os.environ, account: Path = _ACCOUNT) -> Access:
    """What KUBECONFIG says, else what the pod was given, else what the user's own kubeconfig says.

    Raises:
        AccessError: there is nothing, or it cannot be used.
    """
    home = Path(environment.get("HOME", "/")) / ".kube" / "config"
    if not environment.get(_LOCATION) and environment.get(_HOST):
        return _of_account(environment, account)
    path = Path(environment.get(_LOCATION) or home)
    try:
        return _of_kubeconfig(path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError, ssl.SSLError) as error:
        raise AccessError(
            f"{path} gives no access to an API server ({type(error).__name__}: {error}): run in a pod, or set KUBECONFIG"
        ) from error


def _of_account(environment: Mapping[str, str], account: Path) -> Access:
    host, port = environment[_HOST], environment.get(_PORT, "443")
    try:
        token = (account / "token").read_text(encoding="utf-8").strip()
        context = ssl.create_default_context(cafile=str(account / "ca.crt"))
    except (OSError, ssl.SSLError) as error:
        raise AccessError(
            f"the pod's service account in {account} cannot be read ({error}): set automountServiceAccountToken to true"
        ) from error
    return Access(f"https://{f'[{host}]' if ':' in host else host}:{port}", context, token)


def _of_kubeconfig(path: Path) -> Access:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    context = _named(content["contexts"], content["current-context"])["context"]
    cluster = _named(content["clusters"], context["cluster"])["cluster"]
    user = _named(content["users"], context["user"])["user"] or {}
    if "exec" in user or "auth-provider" in user:
        raise ValueError("it asks a program for credentials, which only kubectl does: take one with a token or a certificate")
    return Access(cluster["server"], _tls(path.parent, cluster, user), _token(path.parent, user))


def _named(entries: list[Any], name: str) -> Any:
    found = [entry for entry in entries if entry["name"] == name]
    if not found:
        raise LookupError(f"there is no entry {name!r}")
    return found[0]


def _token(folder: Path, user: Mapping[str, Any]) -> str:
    if "tokenFile" in user:
        return Path(folder, str(user["tokenFile"])).read_text(encoding="utf-8").strip()
    return str(user.get("token", ""))


def _tls(folder: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authority = _content(folder, cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _content(folder, user, "client-certificate"), _content(folder, user, "client-key")
    if certificate and key:
        # The standard library takes them from files only.
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _content(folder: Path, entry: Mapping[str, Any], name: str) -> bytes:
    """What an entry has inline, or in a file; empty if it has neither."""
    try:
        if data := entry.get(f"{name}-data"):
            return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name}-data is no base64: {error}") from None
    return Path(folder, str(entry[name])).read_bytes() if name in entry else b""
