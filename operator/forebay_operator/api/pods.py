"""What a ModelDeployment may say of the server pods of an exclusive model."""

import re
from typing import Annotated, Final, Literal

from pydantic import Field

from forebay_operator.api.fields import (
    Keyed,
    LabelValue,
    QualifiedName,
    ResourceQuantity,
    keyed_by_names,
    matching,
    without_keys,
)
from forebay_operator.api.objects import ApiModel
from forebay_operator.api.rules import Rule

_INT32: Final = 2**31 - 1
_OWN_VARIABLES: Final = ("HOME", "TMPDIR", "ORT_DISABLE_TELEMETRY")
_ADMINISTRATORS_VARIABLES: Final = "(?i)^((AWS_|LD_|PYTHON|SSL_|OPENSSL_|GCONV_).*|.*_(PROXY|CA_BUNDLE))$"
"""Which store is opened and with what, whom a server trusts, and what code it loads: not for who only asks for a model."""
_OWN_LABELS: Final = (
    *(f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of", "managed-by")),
    *(f"forebay.dev/{name}" for name in ("pool", "template", "model")),
)
_GPU: Final = "nvidia.com/gpu"


class Toleration(ApiModel):
    """A taint of nodes that the pods bear, as in a pod."""

    key: QualifiedName | None = None
    """The taint's key; any, if not set."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Whether the taint's value must equal `value` or may be any."""
    value: LabelValue | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; any, if not set."""
    toleration_seconds: Annotated[int, Field(ge=0, le=_INT32)] | None = None
    """How long a NoExecute taint is borne; for ever, if not set."""

    rules = (
        Rule["Toleration"](
            "self.operator != 'Exists' || !has(self.value)",
            "operator Exists goes with any value: remove value, or set operator to Equal",
            lambda toleration: toleration.operator != "Exists" or toleration.value is None,
            "value",
        ),
        Rule["Toleration"](
            "self.operator != 'Equal' || has(self.key)",
            "operator Equal needs a key: set key, or set operator to Exists",
            lambda toleration: toleration.operator != "Equal" or toleration.key is not None,
            "operator",
        ),
        Rule["Toleration"](
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds is for effect NoExecute: set effect to NoExecute, or remove tolerationSeconds",
            lambda toleration: toleration.toleration_seconds is None or toleration.effect == "NoExecute",
            "tolerationSeconds",
        ),
    )


class EnvironmentVariable(ApiModel):
    """A variable in the environment of the server."""

    name: Annotated[
        str,
        Field(max_length=128),
        matching("[A-Za-z_][A-Za-z0-9_]*", "write letters, digits and _ only, and no digit first"),
        Rule[str](
            "!self.startsWith('FOREBAY_')",
            "names that begin with FOREBAY_ are Forebay's own: choose another",
            lambda name: not name.startswith("FOREBAY_"),
        ),
        Rule[str](
            f"!(self in [{', '.join(repr(name) for name in _OWN_VARIABLES)}])",
            f"{', '.join(_OWN_VARIABLES)} are set by Forebay: remove it",
            lambda name: name not in _OWN_VARIABLES,
        ),
        Rule[str](
            f"!self.matches('{_ADMINISTRATORS_VARIABLES}')",
            "names that begin with AWS_, LD_, PYTHON, SSL_, OPENSSL_ or GCONV_, or end with _PROXY or _CA_BUNDLE, decide which"
            " store, code and certificates servers trust: remove it, or have it set for all servers",
            lambda name: re.match(_ADMINISTRATORS_VARIABLES, name) is None,
        ),
    ]
    """Name of the variable; not one that begins with FOREBAY_, nor HOME, TMPDIR or ORT_DISABLE_TELEMETRY, nor one that decides
    which store, code and certificates a server trusts (such as AWS_…, LD_…, PYTHON…, …_PROXY)."""
    value: Annotated[str, Field(max_length=4096)] = ""
    """Its value."""


_Quantities = Annotated[
    dict[str, ResourceQuantity],
    Field(max_length=16),
    keyed_by_names("resources by names"),
    without_keys([_GPU], f"each server has one GPU, which Forebay asks for: remove {_GPU}"),
]
_Labels = Annotated[dict[str, LabelValue], Field(max_length=16), keyed_by_names("keys")]


class Resources(ApiModel):
    """Resources of the server's container."""

    requests: _Quantities | None = None
    """What is reserved, for example `cpu: 2`."""
    limits: _Quantities | None = None
    """What it may use at most, for example `memory: 8Gi`."""


class PodTemplate(ApiModel):
    """What is different about the server pods of an exclusive model."""

    node_selector: _Labels | None = None
    """Labels that a node must have, beside those that the installation and the device ask for, which cannot be changed."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] | None = None
    """Taints of nodes that the pods bear."""
    resources: Resources | None = None
    """Resources of the server's container, in place of those of its pool."""
    env: Annotated[tuple[EnvironmentVariable, ...], Field(max_length=64), Keyed("name")] | None = None
    """Further variables in the server's environment."""
    labels: (
        Annotated[_Labels, without_keys(_OWN_LABELS, f"Forebay sets {', '.join(_OWN_LABELS)} itself: remove them")] | None
    ) = None
    """Further labels of the pods."""
