"""The Secrets that the operator keeps in each namespace with servers or conversions."""

import base64
from collections.abc import Iterable, Mapping

from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import SECRETS, Json
from forebay_operator.manifests.owners import Owner, owned_by


def repository_token(namespace: str, token: str, owners: Iterable[Owner]) -> Json:
    """Opens repository control of the namespace's servers."""
    return _secret(namespace, names.TOKEN_SECRET, {names.TOKEN_KEY: token}, owners)


def store_credentials(namespace: str, credentials: Mapping[str, str], owners: Iterable[Owner]) -> Json:
    """Opens the store, as variables of an environment."""
    return _secret(namespace, names.STORE_SECRET, credentials, owners)


def store_reading_credentials(namespace: str, credentials: Mapping[str, str], owners: Iterable[Owner]) -> Json:
    """The same, for who only reads."""
    return _secret(namespace, names.STORE_READING_SECRET, credentials, owners)


def replacement(manifest: Json) -> list[Json]:
    """A JSON patch that has a Secret of ours hold what is wanted, and that fails where the Secret is somebody else's."""
    metadata = manifest["metadata"]
    label, _, value = names.MANAGED_BY.partition("=")
    return [
        {"op": "test", "path": f"/metadata/labels/{label.replace('/', '~1')}", "value": value},
        {"op": "add", "path": "/data", "value": manifest["data"]},
        {"op": "add", "path": "/metadata/ownerReferences", "value": metadata.get("ownerReferences", [])},
    ]


def _secret(namespace: str, name: str, values: Mapping[str, str], owners: Iterable[Owner]) -> Json:
    labels = names.labels(names.CREDENTIALS, name)
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.name,
        "metadata": {"name": name, "namespace": namespace, "labels": labels, **owned_by(owners)},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())},
    }
