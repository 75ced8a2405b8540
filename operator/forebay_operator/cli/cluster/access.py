"""Which cluster: what kubeconfigs say, as kubectl reads them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.config.config_exception import ConfigException
from yaml import YAMLError

from forebay_operator.cli.connection import NOT_RUNNING, WRONG_USAGE, CommandError
from forebay_operator.domain.wording import listed

# The library's own functions for kubeconfigs carry no types.
_config: Final[Any] = config
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Access:
    """A way to an API server."""

    client: ApiClient
    namespace: str
    """The namespace of names that say none."""
    described: str
    """What messages call it: `context NAME (https://…)`."""


def access(kubeconfig: Path | None, context: str | None) -> Access:
    """The cluster of a kubeconfig's context, of the current one if none is named. In a pod without a kubeconfig: its own.

    Raises:
        CommandError: there is no such kubeconfig or context, or it cannot be read.
    """
    # Whoever turned verification off in a kubeconfig knows it.
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    files = _files(kubeconfig)
    if not files and context is None and (_ACCOUNT / "token").exists():
        return _of_this_pod()
    if not files:
        raise CommandError(_no_kubeconfig(kubeconfig), NOT_RUNNING)
    try:
        return _of_context(os.pathsep.join(files), context)
    except (ConfigException, YAMLError, OSError, LookupError, TypeError, AttributeError, ValueError) as error:
        # The library fails in many ways at what is no kubeconfig.
        why = " ".join(str(error).split())
        raise CommandError(
            f"the kubeconfig {', '.join(files)} cannot be used ({why}): mend it, or name another", NOT_RUNNING
        ) from None


def _files(kubeconfig: Path | None) -> list[str]:
    """Those that are there."""
    named = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG", "") or str(Path.home() / ".kube" / "config")
    return [file for file in named.split(os.pathsep) if file and Path(file).is_file()]


def _no_kubeconfig(kubeconfig: Path | None) -> str:
    if kubeconfig:
        return f"there is no kubeconfig {kubeconfig}: check --kubeconfig"
    if named := os.environ.get("KUBECONFIG"):
        return f"there is no kubeconfig {named}: correct KUBECONFIG, or name one with --kubeconfig"
    return "there is no kubeconfig ~/.kube/config: name one with --kubeconfig or KUBECONFIG"


def _of_context(files: str, context: str | None) -> Access:
    # The library's own list of contexts fails where none is the current one, which does not matter to who names one.
    merged: dict[str, Any] = _config.kube_config.KubeConfigMerger(files).config.value
    contexts: dict[str, dict[str, Any]] = {each["name"]: each.value for each in merged["contexts"]}
    if not contexts:
        raise ConfigException("it has no contexts")
    found = contexts.get(str(context or merged.get("current-context") or ""))
    if not found:
        raise CommandError(_no_context(files, context or merged.get("current-context"), sorted(contexts)), WRONG_USAGE)
    configuration = Configuration()
    _config.load_kube_config(files, found["name"], configuration, persist_config=False)
    return _access(configuration, _namespace(found), f"context {found['name']}")


def _no_context(files: str, named: str | None, known: list[str]) -> str:
    has = f"it has {listed(known) or 'none'}"
    if named:
        return f"there is no context {named} in {files}: {has}"
    return f"no context of {files} is the current one: name one with --context ({has}), or run kubectl config use-context"


def _namespace(context: dict[str, Any]) -> str:
    return str(context["context"].get("namespace") or "default")


def _of_this_pod() -> Access:
    configuration = Configuration()
    _config.load_incluster_config(configuration)
    return _access(configuration, (_ACCOUNT / "namespace").read_text(encoding="utf-8").strip(), "the cluster of this pod")


def _access(configuration: Configuration, namespace: str, described: str) -> Access:
    # A person waits: what does not answer is told at once.
    configuration.retries = False
    return Access(ApiClient(configuration), namespace, f"{described} ({configuration.host})")
