"""The file that an Envoy is started with. An Envoy is adopted only if its file would be the same today."""

from forebay_gateway.envoy.listeners import listener
from forebay_gateway.settings import Settings, Sockets
from forebay_gateway.xds.clusters import Json, holder_cluster, typed, xds_cluster
from forebay_gateway.xds.names import HOLDER_CLUSTERS, XDS_CLUSTER

_MAX_CONNECTIONS = 20_000
_MAX_HEAP_BYTES = 2 << 30
# All other statistics of the clusters are left out: they are half of a cluster's memory.
_KEPT_PREFIXES = ("http.", "listener", "server.", "cluster_manager", "cluster.xds")
_KEPT_SUFFIXES = ("upstream_rq_active", "upstream_rq_total", "upstream_rq_retry", "upstream_rq_pending_failure_eject")


def bootstrap(settings: Settings, sockets: Sockets) -> Json:
    return {
        "node": {"id": "envoy", "cluster": "forebay"},
        "admin": {"address": {"pipe": {"path": str(sockets.admin), "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                listener("http", settings.http_address, settings.http_port),
                listener("grpc", settings.http_address, settings.grpc_port),
            ],
            "clusters": [
                xds_cluster(XDS_CLUSTER, sockets.xds),
                holder_cluster(HOLDER_CLUSTERS["h"], "h", sockets.answers("h")),
                holder_cluster(HOLDER_CLUSTERS["g"], "g", sockets.answers("g")),
            ],
        },
        "dynamic_resources": {
            "ads_config": {"api_type": "DELTA_GRPC", "set_node_on_first_message_only": True, **_our_process()},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "cluster_manager": {"load_stats_config": {"api_type": "GRPC", **_our_process()}},
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _kept_statistics()}}},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {}}]},
        "overload_manager": _overload_manager(),
    }


def _our_process() -> Json:
    # By default Envoy waits up to 30 s before it looks for a restarted process of ours.
    retry = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}}
    service = {"envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": retry}}
    return {"transport_api_version": "V3", "grpc_services": [service]}


def _kept_statistics() -> list[Json]:
    return [*({"prefix": prefix} for prefix in _KEPT_PREFIXES), *({"suffix": suffix} for suffix in _KEPT_SUFFIXES)]


def _overload_manager() -> Json:
    connections = typed(
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=_MAX_CONNECTIONS,
    )
    heap = typed("envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=_MAX_HEAP_BYTES)
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": connections},
            {"name": "envoy.resource_monitors.fixed_heap", "typed_config": heap},
        ],
        "actions": [
            _heap_action("envoy.overload_actions.shrink_heap", 0.9),
            _heap_action("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
    }


def _heap_action(name: str, threshold: float) -> Json:
    return {"name": name, "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}]}
