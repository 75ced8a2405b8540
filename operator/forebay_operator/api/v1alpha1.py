"""ModelDeployment, version v1alpha1: the object, and what its definition needs beside the schema."""

import re
from typing import Annotated, Any, Final, Literal

from forebay_operator.api.fields import Timestamp, matching
from forebay_operator.api.objects import ApiModel
from forebay_operator.api.rules import Rule
from forebay_operator.api.spec import ModelDeploymentSpec
from forebay_operator.api.status import ModelDeploymentStatus
from forebay_schema.addresses import ModelAddress

GROUP: Final = "forebay.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "ModelDeployment"
PLURAL: Final = "modeldeployments"
API_VERSION: Final = f"{GROUP}/{VERSION}"
REFRESH: Final = f"{GROUP}/refresh"
"""Annotation: another value says that the source has changed under its URI."""

MAX_NAME: Final = 50
# A letter first: Services of older clusters take no names that begin with a digit, and each ModelDeployment gets one.
_NAME: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"


class ObjectMeta(ApiModel):
    """Name and namespace, and what Kubernetes keeps beside them. Kubernetes has the schema of this."""

    name: str
    """Name of the ModelDeployment."""
    namespace: Annotated[
        str,
        matching(
            "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "write at most 63 lower-case letters, digits and -, no - first or last"
        ),
    ] = "default"
    """Its namespace."""
    labels: dict[str, str] | None = None
    """Its labels."""
    annotations: dict[str, str] | None = None
    """Its annotations."""
    uid: str | None = None
    """Set by Kubernetes."""
    generation: int | None = None
    """Set by Kubernetes: rises with each change of the spec."""
    resource_version: str | None = None
    """Set by Kubernetes."""
    creation_timestamp: Timestamp | None = None
    """Set by Kubernetes."""
    deletion_timestamp: Timestamp | None = None
    """Set by Kubernetes."""
    deletion_grace_period_seconds: int | None = None
    """Set by Kubernetes."""
    generate_name: str | None = None
    """Not used: a ModelDeployment is found by its name."""
    finalizers: tuple[str, ...] | None = None
    """Kept by Kubernetes."""
    owner_references: tuple[dict[str, Any], ...] | None = None
    """Kept by Kubernetes."""
    managed_fields: tuple[dict[str, Any], ...] | None = None
    """Kept by Kubernetes."""
    self_link: str | None = None
    """Of older versions of Kubernetes."""


class ModelDeployment(ApiModel):
    """A machine-learning model to convert, verify, place on devices and serve over the protocol of Triton clients."""

    api_version: Literal["forebay.dev/v1alpha1"]
    """forebay.dev/v1alpha1."""
    kind: Literal["ModelDeployment"]
    """ModelDeployment."""
    metadata: ObjectMeta
    """Name and namespace."""
    spec: ModelDeploymentSpec
    """What is wanted."""
    status: ModelDeploymentStatus | None = None
    """What is; written by the controller."""

    rules = (
        Rule["ModelDeployment"](
            f"self.metadata.name.size() <= {MAX_NAME} && self.metadata.name.matches('^{_NAME}$')",
            f"a name has at most {MAX_NAME} lower-case letters, digits and -, begins with a letter and does not end in -:"
            " choose another metadata.name",
            lambda deployment: _is_name(deployment.metadata.name),
            "metadata.name",
        ),
    )

    @property
    def address(self) -> ModelAddress:
        return ModelAddress(namespace=self.metadata.namespace, name=self.metadata.name)


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME and re.fullmatch(_NAME, name) is not None
