"""What Envoy's load reports say of the models."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from forebay_gateway.xds.names import REPLICAS, ClusterName
from forebay_schema.addresses import ModelAddress


@dataclass(frozen=True, slots=True)
class Load:
    """At the replicas of one model: what was sent there since the last report, and what is there now."""

    issued: int = 0
    in_flight: int = 0


def loads_of(report: Any) -> dict[ModelAddress, Load]:
    """The loads in a LoadStatsRequest, over all clusters of a model. The holder's own part is left out: it counts itself."""
    loads: dict[ModelAddress, Load] = {}
    for statistics in report.cluster_stats:
        name = ClusterName.parse(statistics.cluster_name)
        if name:
            before = loads.get(name.address, Load())
            loads[name.address] = _added(before, statistics.upstream_locality_stats)
    return loads


def _added(load: Load, localities: Iterable[Any]) -> Load:
    rows = [row for row in localities if row.locality.zone == REPLICAS]
    return Load(
        issued=load.issued + sum(row.total_issued_requests for row in rows),
        in_flight=load.in_flight + sum(row.total_requests_in_progress for row in rows),
    )
