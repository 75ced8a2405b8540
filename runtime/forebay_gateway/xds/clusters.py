"""Builders of Envoy's clusters and their endpoints, in the JSON form of Envoy's API.

The settings were measured; the comments say what goes wrong without them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from forebay_gateway.xds.names import HOLDER, METADATA, REPLICAS, Protocol

Json = dict[str, Any]

MIB: Final = 1 << 20
PAUSE_S: Final = 30
"""How long a server, or the holder, may say nothing before its HTTP/2 connections are given up."""
_UNLIMITED: Final = 1_000_000_000
_TYPE: Final = "type.googleapis.com/"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True)
class Replica:
    """One server as a cluster reaches it, and the version that answers there."""

    host: str
    port: int
    model: str
    version: int


def typed(name: str, **fields: Any) -> Json:
    """A value of Envoy's `Any` fields."""
    return {"@type": _TYPE + name, **fields}


def cluster(name: str, protocol: Protocol) -> Json:
    """A model's cluster. Its endpoints come by EDS: see `endpoints`."""
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {
            "eds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "5s"},
        },
        "lb_policy": "LEAST_REQUEST",
        "least_request_lb_config": {"choice_count": 2},
        # Panic routing would send requests to replicas that are not ready instead of to the holder.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        **_connection(protocol),
    }


def holder_cluster(name: str, protocol: Protocol, socket: Path) -> Json:
    """A cluster of the holder alone."""
    return {"name": name, "type": "STATIC", "load_assignment": _pipe_assignment(name, socket), **_connection(protocol)}


def endpoints(name: str, replicas: Iterable[Replica], holder: Path, *, holder_first: bool = False) -> Json:
    """Priority 0: the replicas, maybe none. Priority 1: the holder. Or the other way round: what the holder lets go is tried
    again at the other priority, the replicas."""
    parts: list[Json] = [
        {"locality": {"zone": REPLICAS}, "lb_endpoints": [_replica(replica) for replica in replicas]},
        {"locality": {"zone": HOLDER}, "lb_endpoints": [{"endpoint": {"address": _pipe(holder)}}]},
    ]
    if holder_first:
        parts.reverse()
    return {
        "cluster_name": name,
        "endpoints": [{"priority": priority, **part} for priority, part in enumerate(parts)],
        # With the default of 140 %, one unhealthy replica of two sends 30 % of the traffic to the holder.
        "policy": {"overprovisioning_factor": 1_000_000},
    }


def xds_cluster(name: str, socket: Path) -> Json:
    """Where Envoy finds our process."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _pipe_assignment(name, socket),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: typed(
                _HTTP_OPTIONS,
                explicit_http_config={
                    "http2_protocol_options": {"connection_keepalive": {"interval": "5s", "timeout": "3s"}},
                },
            ),
        },
    }


def _connection(protocol: Protocol) -> Json:
    thresholds = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _UNLIMITED)
    return {
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": MIB,
        # By default three retries may run at once: of 200 held requests, 197 would fail when they are let go.
        "circuit_breakers": {"thresholds": [thresholds]},
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http_options(protocol)},
    }


def _http_options(protocol: Protocol) -> Json:
    http2 = {
        "initial_stream_window_size": 4 * MIB,
        "initial_connection_window_size": 16 * MIB,
        "max_concurrent_streams": 1000,
        # A server that pauses loses what it has over gRPC when this ends: it has as long as controllers give it. Both together
        # stay below what clients wait, for servers whose machine is gone without a word.
        "connection_keepalive": {"interval": "10s", "timeout": f"{PAUSE_S}s"},
    }
    explicit: Json = {"http2_protocol_options": http2} if protocol == "g" else {"http_protocol_options": {}}
    return typed(_HTTP_OPTIONS, explicit_http_config=explicit, common_http_protocol_options={"idle_timeout": "30s"})


def _replica(replica: Replica) -> Json:
    return {
        "endpoint": {"address": {"socket_address": {"address": replica.host, "port_value": replica.port}}},
        "metadata": {"filter_metadata": {METADATA: {"model": replica.model, "version": str(replica.version)}}},
    }


def _pipe(socket: Path) -> Json:
    return {"pipe": {"path": str(socket)}}


def _pipe_assignment(name: str, socket: Path) -> Json:
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _pipe(socket)}}]}]}
