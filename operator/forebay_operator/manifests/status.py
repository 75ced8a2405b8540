"""The status of a ModelDeployment, as it is applied to the status subresource."""

from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, Json


def status(namespace: str, name: str, content: Json) -> Json:
    return {
        "apiVersion": MODEL_DEPLOYMENTS.api_version,
        "kind": MODEL_DEPLOYMENTS.name,
        "metadata": {"name": name, "namespace": namespace},
        "status": content,
    }
