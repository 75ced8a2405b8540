"""What Envoy's load reports say of the models."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from forebay_gateway.holder.surges import Load
from forebay_gateway.xds.names import REPLICAS, ClusterName
from forebay_schema.addresses import ModelAddress


def loads_of(report: Any) -> Mapping[ModelAddress, Load]:
    """Requests at the replicas of each model, over all its clusters, and what they answered, from a LoadStatsRequest.

    The holder's own part is left out: it counts itself, and at once.
    """
    in_flight, done = Counter[ModelAddress](), Counter[ModelAddress]()
    for statistics in report.cluster_stats:
        name = ClusterName.parse(statistics.cluster_name)
        if name:
            rows = [row for row in statistics.upstream_locality_stats if row.locality.zone == REPLICAS]
            in_flight[name.address] += sum(row.total_requests_in_progress for row in rows)
            done[name.address] += sum(row.total_successful_requests for row in rows)
    return {address: Load(number, done[address]) for address, number in in_flight.items()}
