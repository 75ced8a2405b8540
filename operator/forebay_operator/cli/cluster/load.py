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
_MOST_FAILURES: Final = 3
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
    """Asks all gateways of a namespace: a part of the load misleads. Where one stays out of reach it asks no more."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self._failures = 0
        """In a row. One is no more than a gateway that starts again."""

    def of(self, namespace: str) -> Mapping[ModelAddress, Load] | None:
        """The load of each model that was asked for; None: nobody here knows."""
        if self._failures >= _MOST_FAILURES:
            return None
        try:
            found = [Seen.of(each) for each in self._api.all(PODS.path(namespace), labelSelector=_SELECTOR)]
            running = [pod for pod in found if pods.is_running(pod)]
            pages = [self._page(pod) for pod in running]
        except CommandError:
            self._failures += 1
            return None
        self._failures = 0
        return load_in(pages) if pages else None

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
