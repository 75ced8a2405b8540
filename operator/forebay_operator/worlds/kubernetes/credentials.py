"""How an API server is reached, read afresh each time: tokens are replaced on disk."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kopf
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

_config: Any = config  # its functions have no types
_IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"
_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class CredentialsError(Exception):
    """No API server can be reached; the message says what to set."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where credentials are. Without a file: those that the pod was given, else the user's own kubeconfig."""

    kubeconfig: str = ""
    context: str = ""

    async def configuration(self) -> Configuration:
        """For `kubernetes.aio`.

        Raises:
            CredentialsError: there are none, or they cannot be read.
        """
        configuration = Configuration()
        try:
            if not self.kubeconfig and os.environ.get(_IN_CLUSTER):
                _config.load_incluster_config(client_configuration=configuration)
            else:
                await _config.load_kube_config(
                    config_file=self.kubeconfig or None,
                    context=self.context or None,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except (config.ConfigException, OSError, ValueError, TypeError) as error:
            where = self.kubeconfig or "the default kubeconfig"
            raise CredentialsError(f"{where} gives no access to an API server ({error}): set KUBECONFIG") from error
        return configuration

    async def connection(self) -> kopf.ConnectionInfo:
        """For kopf.

        Raises:
            CredentialsError: there are none, or they cannot be read.
        """
        found: Any = await self.configuration()
        scheme, _, token = str(found.api_key.get("BearerToken") or "").partition(" ")
        return kopf.ConnectionInfo(
            server=found.host,
            ca_path=found.ssl_ca_cert,
            ca_data=found.ca_cert_data,
            insecure=None if found.verify_ssl else True,
            certificate_path=found.cert_file,
            private_key_path=found.key_file,
            token=token or scheme or None,
        )

    def namespace(self) -> str:
        """The namespace that this process runs in; outside a cluster `default`."""
        try:
            return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
        except OSError:
            return "default"
