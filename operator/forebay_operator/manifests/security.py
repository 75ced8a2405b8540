"""What makes a pod acceptable to `pod-security.kubernetes.io/enforce: restricted`, and a bit more."""

from forebay_operator.manifests.installation import PodUser
from forebay_operator.manifests.kinds import Json


def pod(whom: PodUser) -> Json:
    """Part of a pod's spec: not root, no token of the API server, no variables of Services."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            **_numbers(whom),
            # A shared volume is not gone through at the start of every pod.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _numbers(whom: PodUser) -> Json:
    said = {"runAsUser": whom.user, "runAsGroup": whom.group, "fsGroup": whom.group_of_volumes}
    return {name: number for name, number in said.items() if number is not None}


def container() -> Json:
    """The `securityContext` of every container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
