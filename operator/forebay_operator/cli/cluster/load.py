"""What gateways say of each model, asked through the API server: where it lets this user, and can reach them itself."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from forebay_operator.cli.cluster.api import ClusterApi
from forebay_operator.cli.connection import CommandError
from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import PODS
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.addresses import ModelAddress

_SELECTOR: Final = f"{names.PART_OF},{names.COMPONENT}={names.GATEWAY}"
_CONTROL: Final = "control"
_FIGURE: Final = re.compile(
    r'^forebay_gateway_(?P<figure>arrivals_total|held|in_flight)\{namespace="(?P<namespace>[^"]+)",model="(?P<model>[^"]+)"\}'
    r" (?P<value>\d+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Load:
    """Of one model, at all gateways together."""

    arrivals: int = 0
    """Since the gateways' start."""
    held: int = 0
    in_flight: int = 0


class GatewayLoad:
    """Asks all gateways of a namespace. Once one is out of reach it asks no more: a part of the load misleads."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self._is_within_reach = True

    def of(self, namespace: str) -> Mapping[ModelAddress, Load] | None:
        """The load of each model that was asked for; None: nobody here knows."""
        if not self._is_within_reach:
            return None
        try:
            found = [Seen.of(each) for each in self._api.all(PODS.path(namespace), labelSelector=_SELECTOR)]
            running = [pod for pod in found if pods.is_running(pod)]
            return load_in([self._page(pod) for pod in running]) if running else None
        except CommandError:
            self._is_within_reach = False
            return None

    def _page(self, pod: Seen) -> str:
        return self._api.page_of_pod(pod, pods.ports_of(pod, names.GATEWAY).get(_CONTROL, 0), "metrics")


def load_in(pages: list[str]) -> Mapping[ModelAddress, Load]:
    """What the metrics pages of gateways say of models, added up."""
    sums: defaultdict[ModelAddress, Counter[str]] = defaultdict(Counter)
    for page in pages:
        for match in _FIGURE.finditer(page):
            sums[ModelAddress(match["namespace"], match["model"])][match["figure"]] += int(match["value"])
    return {
        address: Load(arrivals=of["arrivals_total"], held=of["held"], in_flight=of["in_flight"])
        for address, of in sums.items()
    }
