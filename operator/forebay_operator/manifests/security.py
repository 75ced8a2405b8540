"""What makes a pod acceptable to `pod-security.kubernetes.io/enforce: restricted`, and a bit more."""

from forebay_operator.manifests.kinds import Json

USER = 10001
"""The user of Forebay's images."""


def pod() -> Json:
    """Part of a pod's spec: not root, no token of the API server, no variables of Services."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # A shared volume is not gone through at the start of every pod.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def container() -> Json:
    """The `securityContext` of every container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
