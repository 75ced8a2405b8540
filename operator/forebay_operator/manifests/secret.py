"""The Secrets that the operator keeps in each namespace with servers or conversions."""

import base64
from collections.abc import Mapping

from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import SECRETS, Json


def repository_token(namespace: str, token: str) -> Json:
    """Opens repository control of the namespace's servers."""
    return _secret(namespace, names.TOKEN_SECRET, {names.TOKEN_KEY: token})


def store_credentials(namespace: str, credentials: Mapping[str, str]) -> Json:
    """Opens the store, as variables of an environment."""
    return _secret(namespace, names.STORE_SECRET, credentials)


def _secret(namespace: str, name: str, values: Mapping[str, str]) -> Json:
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.name,
        "metadata": {"name": name, "namespace": namespace, "labels": names.labels(names.CREDENTIALS, name)},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())},
    }
