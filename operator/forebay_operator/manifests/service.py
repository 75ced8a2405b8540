"""The Service of a ModelDeployment: its name in DNS leads to the gateway, which knows the model by that name."""

from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import SERVICES, Json
from forebay_operator.manifests.owners import Owner, owned_by


def external_name(namespace: str, owner: Owner, gateway_host: str) -> Json:
    return {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.name,
        "metadata": {
            "name": owner.name,
            "namespace": namespace,
            "labels": names.labels(names.ADDRESS, owner.name) | {names.MODEL: owner.name},
            **owned_by([owner]),
        },
        "spec": {
            "type": "ExternalName",
            "externalName": gateway_host,
            "ports": [
                {"name": "http", "port": 8000, "protocol": "TCP", "targetPort": 8000},
                {"name": "grpc", "port": 8001, "protocol": "TCP", "targetPort": 8001},
            ],
        },
    }
