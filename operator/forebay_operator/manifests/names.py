"""Every name, label and annotation of the objects that Forebay makes, in one place."""

import re
from typing import Final

from forebay_operator.domain.snapshot import ConversionId, Pool
from forebay_schema.digests import digest_of

FIELD_MANAGER: Final = "forebay-operator"
CONTROLLER: Final = "forebay.dev/operator"

MANAGED_BY: Final = "app.kubernetes.io/managed-by=forebay"
"""Selects what the operator makes."""
PART_OF: Final = "app.kubernetes.io/part-of=forebay"
"""Selects that, and what the installation brings: gateways are found by it."""

COMPONENT: Final = "app.kubernetes.io/component"
SERVER: Final = "server"
CONVERSION: Final = "conversion"
ADDRESS: Final = "address"
BUDGET: Final = "budget"
CREDENTIALS: Final = "credentials"
GATEWAY: Final = "gateway"

POOL: Final = "forebay.dev/pool"
"""Label: digest of the pool. Annotation: the pool itself, as JSON."""
TEMPLATE: Final = "forebay.dev/template"
"""Label: digest of the pod template that a Deployment was made with. Annotation of a Job: of the settings that it was."""
SERVERS: Final = "forebay.dev/servers"
"""Annotation: how many servers the Deployment should have; survives a scale by hand."""
APPLIED: Final = "forebay.dev/applied"
"""Annotation: digest of what was last applied. It tells of fields that are not wanted any more."""
CONVERSION_ID: Final = "forebay.dev/conversion"
"""Label: the beginning of a conversion's digest. Annotation: all of it."""
ATTEMPT: Final = "forebay.dev/attempt"
ORDER: Final = "forebay.dev/order"
"""Annotation of a conversion's pod: its order, which the pod reads as a file."""
ORDER_WITHOUT_ADDRESSES: Final = "forebay.dev/order-without-addresses"
"""The same, for the stage that opens the source."""
LOGS: Final = "kubectl.kubernetes.io/default-container"
"""Annotation of a pod: whose log `kubectl logs` shows."""
MODEL: Final = "forebay.dev/model"
"""Label: the ModelDeployment that an object is for, where it is for one."""
REFRESH: Final = "forebay.dev/refresh"

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
VICTIM_COST: Final = "-1000"

TOKEN_SECRET: Final = "forebay-repository-token"
STORE_SECRET: Final = "forebay-store"
STORE_READING_SECRET: Final = "forebay-store-read"
TOKEN_KEY: Final = "token"

_MOST_OF_A_DEPLOYMENT: Final = 45
"""Pods add 17 characters, and a pod's name should be usable as a host name: 63."""
_SHORT: Final = 10
_LABEL_DIGEST: Final = 40


def labels(component: str, instance: str) -> dict[str, str]:
    """The recommended labels. No version among them: a new one must not make another pod template."""
    return {
        "app.kubernetes.io/name": f"forebay-{component}",
        "app.kubernetes.io/instance": instance,
        COMPONENT: component,
        "app.kubernetes.io/part-of": "forebay",
        "app.kubernetes.io/managed-by": "forebay",
    }


def pool_digest(pool: Pool) -> str:
    device = pool.device
    identity = [pool.namespace, device.kind, device.name, device.memory_bytes, pool.exclusive, pool.template]
    return digest_of(identity)[:_SHORT]


def template_digest(template: object) -> str:
    return digest_of(template)[:_SHORT]


def pool_deployment(pool: Pool, template: str) -> str:
    """`forebay-nvidia-l4-<pool>-<template>`, `forebay-digits-<pool>-<template>` for a pool of one model."""
    tail = f"-{pool_digest(pool)[:6]}-{template[:6]}"
    head = f"forebay-{slug(pool.exclusive or pool.device.name)}"
    return f"{head[: _MOST_OF_A_DEPLOYMENT - len(tail)].rstrip('-')}{tail}"


def pool_budget(pool: Pool) -> str:
    return f"forebay-{pool_digest(pool)}"


def conversion_job(key: ConversionId, attempt: int) -> str:
    return f"forebay-convert-{key.digest[:16]}-{attempt}"


def conversion_label(key: ConversionId) -> str:
    return key.digest[:_LABEL_DIGEST]


def event(regarding_uid: str, reason: str, note: str) -> str:
    """The same name for the same news, so that it is told once."""
    return f"forebay.{digest_of([regarding_uid, reason, note])[:24]}"


def slug(text: str) -> str:
    """A part of a DNS label."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "device"
