"""Where gateways are: pods in the operator's own namespace, so that nobody else's pod is taken for one."""

from typing import Final, Protocol

from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import PODS
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.api_server import ApiServer, RefusedError, UnreachableError
from forebay_operator.worlds.kubernetes.store import Seen, Store

_SELECTOR: Final = f"{names.PART_OF},{names.COMPONENT}={names.GATEWAY}"


class GatewayPods(Protocol):
    """Finds the pods of gateways."""

    async def find(self) -> list[Seen]:
        """Those that have not ended, as far as they are known now."""
        ...


class WatchedGatewayPods:
    """Where the operator watches its own namespace."""

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._namespace = namespace

    async def find(self) -> list[Seen]:
        return [pod for pod in self._store.all(PODS) if pod.namespace == self._namespace and _is_gateway(pod)]


class ListedGatewayPods:
    """Where the operator acts in other namespaces only: its own is listed now and then."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._known: list[Seen] = []

    async def find(self) -> list[Seen]:
        try:
            page = await self._api.call("GET", PODS.path(self._namespace), query={"labelSelector": _SELECTOR})
        except (RefusedError, UnreachableError):
            return self._known
        self._known = [pod for pod in map(Seen.of, page["items"] or ()) if _is_gateway(pod)]
        return self._known


def _is_gateway(pod: Seen) -> bool:
    return pod.labels.get(names.COMPONENT) == names.GATEWAY and not pods.has_ended(pod)
