"""Which model an address names: `NAME.NAMESPACE`, with or without `.svc`, `.svc.cluster.local` and a port.

The gateway has the same rules in Lua, inside Envoy; both are held to the same test vectors.
"""

import re
from typing import Final, NamedTuple

# DNS labels as Kubernetes has them, lower case, not all digits: 127.0.0.1 and 10.0 are no models.
_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_AUTHORITY: Final = re.compile(rf"(?P<name>{_LABEL})\.(?P<namespace>{_LABEL})(?:\.svc(?:\.cluster\.local)?)?(?::\d{{1,5}})?")


class ModelAddress(NamedTuple):
    """The namespace and name of a ModelDeployment. A tuple: each step looks thousands of them up, which hashes them."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def address_of_authority(authority: str) -> ModelAddress | None:
    """The model that a host or `:authority` names, or None: then only the path can tell."""
    match = _AUTHORITY.fullmatch(authority.lower())
    if match is None or (match["name"].isdigit() and match["namespace"].isdigit()):
        return None
    return ModelAddress(namespace=match["namespace"], name=match["name"])
