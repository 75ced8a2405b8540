"""The Job of a conversion's attempt. Its result is the termination message of its container.

All stages run in one container today, as `forebay-convert` runs them in one process tree: the part that opens the source is
sealed from credentials, files and network by its sandbox, not by the pod.
"""

from collections.abc import Iterable
from typing import Final

from forebay_operator.domain.actions import StartConversion
from forebay_operator.manifests import names, security
from forebay_operator.manifests.installation import Installation, pod_basics
from forebay_operator.manifests.kinds import JOBS, Json
from forebay_operator.manifests.owners import Owner, owned_by
from forebay_operator.manifests.quantities import canonical

CONTAINER: Final = "convert"
ORDER_FOLDER: Final = "/var/run/forebay/order"
ORDER_FILE: Final = "order.json"
WORK: Final = "/work"
RESULT: Final = "/dev/termination-log"
STORE_VOLUME: Final = "store"
_GRACE_S: Final = 10


def job(action: StartConversion, order: str, owners: Iterable[Owner], installation: Installation) -> Json:
    """`order`: the conversion order as JSON. `owners`: the ModelDeployments that wait for it."""
    named = sorted(owners)
    key = action.id
    labels = names.labels(names.CONVERSION, names.conversion_label(key)) | {
        names.CONVERSION_ID: names.conversion_label(key),
        **({names.MODEL: named[0].name} if len(named) == 1 else {}),
    }
    annotations = {names.CONVERSION_ID: key.digest, names.ATTEMPT: str(action.attempt)}
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.name,
        "metadata": {
            "name": names.conversion_job(key, action.attempt),
            "namespace": key.namespace,
            "labels": labels,
            "annotations": annotations,
            **owned_by(named),
        },
        "spec": {
            # The control step decides what is tried again, and when.
            "backoffLimit": 0,
            "activeDeadlineSeconds": installation.conversions.seconds,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {"labels": labels, "annotations": {**annotations, names.ORDER: order}},
                "spec": _pod_spec(action, installation),
            },
        },
    }


def _pod_spec(action: StartConversion, installation: Installation) -> Json:
    settings = installation.conversions
    return {
        **security.pod(),
        **pod_basics(installation, settings.priority_class),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_S,
        "containers": [_container(action, installation)],
        "volumes": _volumes(installation),
    }


def _container(action: StartConversion, installation: Installation) -> Json:
    settings = installation.conversions
    return {
        "name": CONTAINER,
        "image": settings.images.get(action.source.format or "", settings.image),
        "imagePullPolicy": installation.pull_policy,
        "args": [f"--order={ORDER_FOLDER}/{ORDER_FILE}", f"--result={RESULT}", f"--work={WORK}"],
        "env": [
            {"name": name, "value": value}
            for name, value in {"ORT_DISABLE_TELEMETRY": "1", "HOME": WORK, "TMPDIR": WORK}.items()
        ],
        **_credentials(action, installation),
        "resources": {
            "limits": {name: canonical(quantity) for name, quantity in settings.limits.items()},
            "requests": {name: canonical(quantity) for name, quantity in settings.requests.items()},
        },
        "terminationMessagePath": RESULT,
        "securityContext": security.container(),
        "volumeMounts": _mounts(installation),
    }


def _credentials(action: StartConversion, installation: Installation) -> Json:
    secrets = [names.STORE_SECRET] if installation.store.has_credentials else []
    if action.source.secret:
        secrets.append(action.source.secret)
    return {"envFrom": [{"secretRef": {"name": name}} for name in secrets]} if secrets else {}


def _mounts(installation: Installation) -> list[Json]:
    mounts: list[Json] = [
        {"name": "work", "mountPath": WORK},
        {"name": "order", "mountPath": ORDER_FOLDER, "readOnly": True},
    ]
    if installation.store.claim:
        mounts.append({"name": STORE_VOLUME, "mountPath": installation.store.uri.removeprefix("file://")})
    return mounts


def _volumes(installation: Installation) -> list[Json]:
    order = {"path": ORDER_FILE, "fieldRef": {"fieldPath": f"metadata.annotations['{names.ORDER}']"}}
    volumes: list[Json] = [
        {"name": "work", "emptyDir": {"sizeLimit": canonical(installation.conversions.work)}},
        {"name": "order", "downwardAPI": {"items": [order]}},
    ]
    if installation.store.claim:
        volumes.append({"name": STORE_VOLUME, "persistentVolumeClaim": {"claimName": installation.store.claim}})
    return volumes
