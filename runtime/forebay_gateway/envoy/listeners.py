"""Builders of Envoy's listeners: what clients may send, and what is added on the way to a server."""

from typing import Final

from forebay_gateway.xds.clusters import MIB, Json, typed
from forebay_gateway.xds.names import METADATA, ROUTES
from forebay_schema import headers
from forebay_schema.network import takes_both_families

_HCM: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def listener(name: str, address: str, port: int) -> Json:
    """A listener for HTTP/1.1 and HTTP/2."""
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": _connection_manager(name)}
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port, **_families(address)}},
        # A second Envoy would silently share the port.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": MIB,
        "filter_chains": [{"filters": [manager]}],
    }


def _families(address: str) -> Json:
    return {"ipv4_compat": True} if takes_both_families(address) else {}


def _connection_manager(name: str) -> Json:
    return typed(
        _HCM,
        stat_prefix=name,
        codec_type="AUTO",
        rds={"route_config_name": ROUTES, "config_source": {"ads": {}, "resource_api_version": "V3"}},
        **_limits(),
        local_reply_config={"mappers": [*(_local_reply(code, text) for code, text in _REASONS.items()), _any_local_reply()]},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": _router()}],
    )


def _limits() -> Json:
    return {
        "use_remote_address": True,
        "strip_any_host_port": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "stream_error_on_invalid_http_message": True,
        "request_headers_timeout": "10s",
        "request_timeout": "0s",
        "stream_idle_timeout": "300s",
        "delayed_close_timeout": "1s",
        "drain_timeout": "5s",
        "max_request_headers_kb": 60,
        "common_http_protocol_options": {"idle_timeout": "3600s", "max_headers_count": 200},
        "http2_protocol_options": {
            "initial_stream_window_size": MIB,
            "initial_connection_window_size": 16 * MIB,
            "max_concurrent_streams": 1000,
        },
    }


_REASONS: Final = {
    400: "this is no HTTP request that the gateway takes: %RESPONSE_CODE_DETAILS%",
    403: "the gateway changes to no other protocol: %RESPONSE_CODE_DETAILS%",
    404: "Not Found",
    426: "HTTP/1.0 is too old: use HTTP/1.1 or HTTP/2",
    431: "the headers are too large: 60 KiB and 200 headers at most",
    501: "this transfer encoding is not taken: use chunked, or give content-length",
}
"""What Envoy says in a word or not at all."""


def _local_reply(code: int, text: str) -> Json:
    """An error of Envoy's own in Triton's form; for gRPC the text is the message already."""
    return {"filter": _and_no_grpc(_status("EQ", code)), "body_format_override": {"json_format": {"error": text}}}


def _any_local_reply() -> Json:
    return {
        "filter": _and_no_grpc(_status("GE", 400)),
        "body_format_override": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}},
    }


def _status(operation: str, code: int) -> Json:
    value = {"default_value": code, "runtime_key": f"forebay.local_reply.{operation}.{code}"}
    return {"status_code_filter": {"comparison": {"op": operation, "value": value}}}


def _and_no_grpc(other: Json) -> Json:
    is_grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    no_grpc = {"header_filter": {"header": {**is_grpc, "invert_match": True, "treat_missing_header_as_empty": True}}}
    return {"and_filter": {"filters": [other, no_grpc]}}


def _router() -> Json:
    """The version header comes from the endpoint at the moment a request is sent: it needs no route of its own."""
    mutation = typed(
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": [_from_endpoint(headers.MODEL, "model"), _from_endpoint(headers.VERSION, "version")]},
    )
    codec = typed("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec")
    return typed(
        "envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers=True,
        upstream_http_filters=[
            {"name": "envoy.filters.http.header_mutation", "typed_config": mutation},
            {"name": "envoy.filters.http.upstream_codec", "typed_config": codec},
        ],
    )


def _from_endpoint(header: str, key: str) -> Json:
    value = f"%UPSTREAM_METADATA({METADATA}:{key})%"
    return {"append": {"header": {"key": header, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
