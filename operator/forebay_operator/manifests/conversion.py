"""The Job of a conversion's attempt: its stages are containers that run one after the other.

Each stage sees the credentials and the folders that it needs: `fetch` the source's, `find` and `publish` the store's, and
`convert`, which opens the source, none; what it writes no other can change, and what it must not see is not mounted there.
The result is the termination message of `publish`, or of the stage that failed.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from forebay_operator.domain.actions import StartConversion
from forebay_operator.manifests import names, security
from forebay_operator.manifests.installation import ConversionSettings, Installation, StoreSettings, pod_basics
from forebay_operator.manifests.kinds import JOBS, Json
from forebay_operator.manifests.owners import Owner, owned_by
from forebay_operator.manifests.quantities import canonical, whole
from forebay_schema.conversion import ConversionLimits, ConversionOrder
from forebay_schema.conversion_stages import CONVERTED, FETCHED, FOLDERS, HELD, PUBLISHING, ConversionStage, stages_of

ORDER_FOLDER: Final = "/var/run/forebay/order"
ORDER_FILE: Final = "order.json"
WORK: Final = "/work"
RESULT: Final = "/dev/termination-log"
STORE_VOLUME: Final = "store"
_ORDER: Final = "order"
_SEALED_ORDER: Final = "order-without-addresses"
_GRACE_S: Final = 10
_RESERVE_S: Final = 60
"""Between the end of a conversion's own time and that of its pod: the pod's begins earlier."""
_WITH_STORE: Final[tuple[ConversionStage, ...]] = ("find", "publish")


def job(action: StartConversion, order: ConversionOrder, owners: Iterable[Owner], installation: Installation) -> Json:
    """`owners`: the ModelDeployments that wait for it."""
    named = sorted(owners)
    key = action.id
    labels = names.labels(names.CONVERSION, names.conversion_label(key)) | {
        names.CONVERSION_ID: names.conversion_label(key),
        **({names.MODEL: named[0].name} if len(named) == 1 else {}),
    }
    annotations = {
        names.CONVERSION_ID: key.digest,
        names.ATTEMPT: str(action.attempt),
        names.TEMPLATE: settings_digest(installation),
    }
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
        # No `ttlSecondsAfterFinished`: it holds the only copy of its result until an operator has put that into a status, and
        # is deleted then. One that failed stays for who wants to read its log, until it is tried again.
        "spec": {
            # The control step decides what is tried again, and when.
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {
                    "labels": {**installation.conversions.pod_labels, **labels},
                    "annotations": {
                        **installation.conversions.pod_annotations,
                        **annotations,
                        **_orders(order),
                        names.LOGS: "convert",
                    },
                },
                "spec": _pod_spec(action, installation),
            },
        },
    }


def limits_of(settings: ConversionSettings) -> ConversionLimits:
    """What a conversion keeps to by itself, so that it ends with a reason before its pod is ended without one."""
    usual = ConversionLimits()
    memory = whole(settings.limits.get("memory", ""))
    return usual.model_copy(
        update={
            "seconds": float(max(settings.seconds - _RESERVE_S, _RESERVE_S)),
            # The rest is for the process that watches it.
            "memory_bytes": usual.memory_bytes if memory is None else memory * 3 // 4,
        }
    )


def settings_digest(installation: Installation) -> str:
    """Changes with the images, limits and times of conversions."""
    return names.template_digest(asdict(installation.conversions))


def _orders(order: ConversionOrder) -> dict[str, str]:
    return {names.ORDER: order.to_json(), names.ORDER_WITHOUT_ADDRESSES: order.without_addresses().to_json()}


def _pod_spec(action: StartConversion, installation: Installation) -> Json:
    settings = installation.conversions
    *before, last = (_container(stage, action, installation) for stage in stages_of(action.source.sha256))
    return {
        **security.pod(installation.pod_user),
        **pod_basics(installation, settings),
        "restartPolicy": "Never",
        # Of the pod, not of the Job: it begins once a node has taken the pod, and leaves the pod, which says how far it came.
        "activeDeadlineSeconds": settings.seconds,
        "terminationGracePeriodSeconds": _GRACE_S,
        "initContainers": before,
        "containers": [last],
        "volumes": _volumes(installation),
    }


def _container(stage: ConversionStage, action: StartConversion, installation: Installation) -> Json:
    settings = installation.conversions
    home = f"{WORK}/{FOLDERS[stage].writes[0]}"
    return {
        "name": stage,
        "image": settings.images.get(action.source.format or "", settings.image),
        "imagePullPolicy": installation.pull_policy,
        "args": [stage, f"--order={ORDER_FOLDER}/{ORDER_FILE}", f"--result={RESULT}", f"--work={WORK}"],
        "env": [{"name": name, **said} for name, said in _environment(stage, settings, home).items()],
        **_credentials(stage, action, installation.store),
        "resources": {
            "limits": {name: canonical(quantity) for name, quantity in settings.limits.items()},
            "requests": {name: canonical(quantity) for name, quantity in settings.requests.items()},
        },
        "terminationMessagePath": RESULT,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": security.container(),
        "volumeMounts": _mounts(stage, installation),
    }


def _environment(stage: ConversionStage, settings: ConversionSettings, home: str) -> dict[str, Json]:
    # The installation's are for those that reach out, of proxies for example.
    added = settings.environment if stage != "convert" else {}
    own = {"ORT_DISABLE_TELEMETRY": "1", "HOME": home, "TMPDIR": home}
    return {**added, **{name: {"value": value} for name, value in own.items()}}


def _credentials(stage: ConversionStage, action: StartConversion, store: StoreSettings) -> Json:
    secrets = {"fetch": action.source.secret or "", "find": store.reading_secret, "publish": store.writing_secret}
    secret = secrets.get(stage, "")
    return {"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}


def _mounts(stage: ConversionStage, installation: Installation) -> list[Json]:
    folders = FOLDERS[stage]
    mounts: list[Json] = [
        {"name": _SEALED_ORDER if stage == "convert" else _ORDER, "mountPath": ORDER_FOLDER, "readOnly": True},
        *({"name": name, "mountPath": f"{WORK}/{name}"} for name in folders.writes),
        *({"name": name, "mountPath": f"{WORK}/{name}", "readOnly": True} for name in folders.reads),
    ]
    if installation.store.claim and stage in _WITH_STORE:
        read_only = {} if stage == "publish" else {"readOnly": True}
        mounts.append({"name": STORE_VOLUME, "mountPath": installation.store.uri.removeprefix("file://"), **read_only})
    return mounts if stage == "convert" else [*mounts, *installation.conversions.mounts]


def _volumes(installation: Installation) -> list[Json]:
    orders = {_ORDER: names.ORDER, _SEALED_ORDER: names.ORDER_WITHOUT_ADDRESSES}
    room = {"emptyDir": {"sizeLimit": canonical(installation.conversions.work)}}
    volumes: list[Json] = [
        *(_file_of(annotation, name) for name, annotation in orders.items()),
        *({"name": name, **room} for name in (FETCHED, HELD, CONVERTED, PUBLISHING)),
        *installation.conversions.volumes,
    ]
    if installation.store.claim:
        volumes.append({"name": STORE_VOLUME, "persistentVolumeClaim": {"claimName": installation.store.claim}})
    return volumes


def _file_of(annotation: str, volume: str) -> Json:
    """A volume with an annotation of the pod as a file."""
    item = {"path": ORDER_FILE, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}
    return {"name": volume, "downwardAPI": {"items": [item]}}
