"""How many requests came for each model, each counted once, and how many are on their way. No I/O, no clock.

Three sources see the attempts of a request: the holder sees those that reach it, Envoy's load reports count those sent to
replicas (`issued`), Envoy's statistics count retries, and attempts that never reached a replica (`failed`). A first attempt is
one that is no retry. So, over all requests of a model:

    first attempts at replicas = issued + failed - retries + retries that went to the holder

The sources are read one after the other, retries last, so that the sum is never ahead; it catches up and never falls.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from forebay_gateway.xds.loads import Load
from forebay_gateway.xds.names import ClusterName
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import ModelDemand


@dataclass(frozen=True, slots=True)
class Attempts:
    """Envoy's counters of one model, since that Envoy's start."""

    retries: int = 0
    failed: int = 0


_SUFFIXES = ("upstream_rq_retry", "upstream_rq_pending_failure_eject")
_FILTER = rf"^cluster\.[hg]/.*\.({'|'.join(_SUFFIXES)})$"
STATISTICS_PATH = f"/stats?usedonly&filter={quote(_FILTER)}"
"""What to ask Envoy's administration for: only clusters that have anything to say answer."""


def attempts_of(statistics: Mapping[str, int]) -> dict[ModelAddress, Attempts]:
    """The counters in Envoy's statistics, over all clusters of a model."""
    retries, failed = Counter[ModelAddress](), Counter[ModelAddress]()
    for name, value in statistics.items():
        cluster, _, counter = name.removeprefix("cluster.").rpartition(".")
        parsed = ClusterName.parse(cluster)
        if parsed:
            (retries if counter == _SUFFIXES[0] else failed)[parsed.address] += value
    return {address: Attempts(retries[address], failed[address]) for address in retries.keys() | failed.keys()}


class Ledger:
    """The demand of every model since the gateway's start."""

    def __init__(self) -> None:
        self._issued = Counter[ModelAddress]()
        self._retries = Counter[ModelAddress]()
        self._failed = Counter[ModelAddress]()
        self._seen: dict[ModelAddress, Attempts] | None = None
        self._in_flight: dict[ModelAddress, int] = {}
        self._direct = Counter[ModelAddress]()

    @property
    def in_flight(self) -> Mapping[ModelAddress, int]:
        return self._in_flight

    def take_loads(self, loads: Mapping[ModelAddress, Load]) -> None:
        self._in_flight = {address: load.in_flight for address, load in loads.items() if load.in_flight}
        for address, load in loads.items():
            if load.issued:
                self._issued[address] += load.issued

    def start_with(self, attempts: Mapping[ModelAddress, Attempts]) -> None:
        """An Envoy is there whose counters stand at these values: none for a new one."""
        self._seen = dict(attempts)

    def take_attempts(self, attempts: Mapping[ModelAddress, Attempts], at_holder_later: Mapping[ModelAddress, int]) -> None:
        """Take Envoy's counters, and how many retries the holder has seen since our start."""
        seen = self._seen or {}
        for address, now in attempts.items():
            before = seen.get(address, Attempts())
            self._retries[address] += max(now.retries - before.retries, 0)
            self._failed[address] += max(now.failed - before.failed, 0)
        self._seen = dict(attempts)
        for address in self._issued.keys() | self._failed.keys():
            sent = self._issued[address] + self._failed[address]
            direct = sent - self._retries[address] + at_holder_later.get(address, 0)
            self._direct[address] = max(self._direct[address], direct)

    def demand(self, held: Mapping[ModelAddress, int], first_at_holder: Mapping[ModelAddress, int]) -> tuple[ModelDemand, ...]:
        """The lines of the models with anything to report, in order."""
        addresses: Iterable[ModelAddress] = sorted(
            held.keys() | first_at_holder.keys() | self._in_flight.keys() | self._direct.keys()
        )
        return tuple(
            ModelDemand(
                namespace=address.namespace,
                name=address.name,
                held=held.get(address, 0),
                in_flight=self._in_flight.get(address, 0),
                arrivals=first_at_holder.get(address, 0) + self._direct[address],
            )
            for address in addresses
        )
