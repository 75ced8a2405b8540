"""How many requests came for each model, each counted once, and how many are on their way. No I/O, no clock.

Envoy counts attempts, not requests: `attempts` that were sent to a replica or the holder, `failed` ones that reached neither,
and how many of them were `retries`. A request is an attempt that is no retry:

    requests = attempts + failed - retries

These counters are read each second; what has reached the holder first since then is added, so that a waiting request shows at
once. The sum is never ahead, and never falls: a retry that is due but not sent yet is made up for at the next reading.

(Envoy's load reports would give the attempts, too, but leave out those of a cluster's first second.)
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from forebay_gateway.xds.names import ClusterName
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import ModelDemand


@dataclass(frozen=True, slots=True)
class Attempts:
    """Envoy's counters of one cluster, since the cluster's start."""

    attempts: int = 0
    failed: int = 0
    retries: int = 0

    @property
    def requests(self) -> int:
        return self.attempts + self.failed - self.retries


_COUNTERS: Final = {
    "upstream_rq_total": "attempts",
    "upstream_rq_pending_failure_eject": "failed",
    "upstream_rq_retry": "retries",
}
_CODES: Final = re.compile(r"http\.(http|grpc)\.downstream_rq_([1-5]xx)")
_FILTER: Final = rf"^cluster\.[hg]/.*\.({'|'.join(_COUNTERS)})$|^{_CODES.pattern}$"
STATISTICS_PATH: Final = f"/stats?usedonly&filter={quote(_FILTER)}"
"""What to ask Envoy's administration for: only clusters that have anything to say answer."""


def attempts_of(statistics: Mapping[str, int]) -> dict[ClusterName, Attempts]:
    """The counters of the models' clusters in Envoy's statistics."""
    values: defaultdict[ClusterName, dict[str, int]] = defaultdict(dict)
    for name, value in statistics.items():
        cluster, _, counter = name.removeprefix("cluster.").rpartition(".")
        parsed = ClusterName.parse(cluster)
        if parsed and counter in _COUNTERS:
            values[parsed][_COUNTERS[counter]] = value
    return {name: Attempts(**counters) for name, counters in values.items()}


def codes_of(statistics: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """How often Envoy has answered, by listener (`http`, `grpc`) and kind of code (`2xx`)."""
    found = ((_CODES.fullmatch(name), value) for name, value in statistics.items())
    return {(match[1], match[2]): value for match, value in found if match}


class Ledger:
    """The demand of every model since the gateway's start, or since the model is there."""

    def __init__(self) -> None:
        self._present: Set[ModelAddress] | None = None
        self._seen: Mapping[ClusterName, Attempts] = {}
        self._requests = Counter[ModelAddress]()
        self._at_holder_then = Counter[ModelAddress]()
        self._arrivals = Counter[ModelAddress]()
        self._in_flight: Mapping[ModelAddress, int] = {}

    @property
    def in_flight(self) -> Mapping[ModelAddress, int]:
        """Requests at replicas, by the last load report."""
        return self._in_flight

    def keep(self, present: Set[ModelAddress]) -> None:
        """There are just these models: the others are forgotten, and one that comes back counts from zero."""
        self._present = frozenset(present)
        for counts in (self._requests, self._arrivals, self._at_holder_then):
            for address in counts.keys() - self._present:
                del counts[address]

    def take_in_flight(self, in_flight: Mapping[ModelAddress, int]) -> None:
        self._in_flight = {address: number for address, number in in_flight.items() if number}

    def start_with(self, attempts: Mapping[ClusterName, Attempts]) -> None:
        """An Envoy is there whose counters stand at these values: nothing for a new one."""
        self._seen = attempts

    def take_attempts(self, attempts: Mapping[ClusterName, Attempts], first_at_holder: Mapping[ModelAddress, int]) -> None:
        """Take Envoy's counters, and how many requests had reached the holder first since our start when they were read."""
        for name, now in attempts.items():
            before = self._seen.get(name, Attempts())
            # A cluster that was removed and made again counts from zero.
            began_anew = now.attempts < before.attempts
            # A deleted model's cluster stays a while.
            if self._present is None or name.address in self._present:
                self._requests[name.address] += now.requests - (0 if began_anew else before.requests)
        self._seen = attempts
        self._at_holder_then = Counter(first_at_holder)

    def arrivals(self, first_at_holder: Mapping[ModelAddress, int]) -> Mapping[ModelAddress, int]:
        """Requests that came for each model since our start, or since the model is there."""
        for address in self._requests.keys() | first_at_holder.keys():
            since = first_at_holder.get(address, 0) - self._at_holder_then.get(address, 0)
            self._arrivals[address] = max(self._arrivals[address], self._requests[address] + since)
        return self._arrivals

    def demand(self, held: Mapping[ModelAddress, int], first_at_holder: Mapping[ModelAddress, int]) -> tuple[ModelDemand, ...]:
        """The models with anything to report, in order."""
        arrivals = self.arrivals(first_at_holder)
        return tuple(
            ModelDemand(
                namespace=address.namespace,
                name=address.name,
                held=held.get(address, 0),
                in_flight=self._in_flight.get(address, 0),
                arrivals=arrivals.get(address, 0),
            )
            for address in sorted(held.keys() | self._in_flight.keys() | arrivals.keys())
        )
