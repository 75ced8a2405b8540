"""What a server that pauses may expect of the gateway."""

from pathlib import Path

from forebay_gateway.xds.clusters import holder_cluster
from forebay_operator.worlds.local.gateway import END_AFTER_S as GATEWAY_END_AFTER_S
from forebay_operator.worlds.local.server import END_AFTER_S

CLIENTS_WAIT_S = 60.0
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_grpc_requests_in_a_paused_process_are_kept_as_long_as_controllers_forgive_the_pause() -> None:
    cluster = holder_cluster("held", "g", Path("/run/hold-g.sock"))
    options = cluster["typed_extension_protocol_options"][OPTIONS]["explicit_http_config"]["http2_protocol_options"]
    keepalive = options["connection_keepalive"]

    assert seconds(keepalive["timeout"]) >= max(END_AFTER_S, GATEWAY_END_AFTER_S)
    assert seconds(keepalive["interval"]) + seconds(keepalive["timeout"]) < CLIENTS_WAIT_S
