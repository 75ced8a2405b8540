"""The one generic route: a Lua script finds the cluster, retries are safe ones only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from forebay_gateway.xds.clusters import MIB, Json, typed
from forebay_gateway.xds.names import HOLDER_CLUSTERS, ROUTES
from forebay_schema import headers
from forebay_schema.addresses import ModelAddress

_SCRIPT: Final = files("forebay_gateway.xds").joinpath("route.lua").read_text(encoding="utf-8")

FINAL_ATTEMPT: Final = 998
"""The holder's last word comes at this attempt: two before Envoy stops, or the client would get the retry answer."""
_RETRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Share:
    """A version in a rollout, and its part of 100."""

    version: int
    weight: int


Rollouts = Mapping[ModelAddress, Sequence[Share]]
"""The models of which more than one version has weight."""


def route_configuration(default_namespace: str, rollouts: Rollouts) -> Json:
    return {
        "name": ROUTES,
        "virtual_hosts": [
            {
                "name": "any",
                "domains": ["*"],
                "routes": [_health("live"), _health("ready"), _generic(_script(default_namespace, rollouts))],
                # What only we may say, a client's word for it is dropped.
                "request_headers_to_remove": [headers.MODEL, headers.VERSION, headers.MIRROR],
                "request_headers_to_add": [_overwrite(headers.START, "%START_TIME(%s.%3f)%")],
                "response_headers_to_remove": [headers.RETRY],
                "include_request_attempt_count": True,
                "retry_policy": _retry_policy(),
                "request_body_buffer_limit": str(16 * MIB),
            },
        ],
    }


def _health(what: str) -> Json:
    """The gateway's own health, answered by Envoy itself: no model is woken, and our process may be away."""
    is_get = {"name": ":method", "string_match": {"exact": "GET"}}
    return {"match": {"path": f"/v2/health/{what}", "headers": [is_get]}, "direct_response": {"status": 200}}


def _generic(script: str) -> Json:
    lua = typed(
        "envoy.extensions.router.cluster_specifiers.lua.v3.LuaConfig",
        source_code={"inline_string": script},
        default_cluster=HOLDER_CLUSTERS["h"],
    )
    return {
        "match": {"prefix": "/"},
        "route": {
            # By default a route ends after 15 s: too early for held requests.
            "timeout": "0s",
            "idle_timeout": "3600s",
            "cluster_not_found_response_code": "NOT_FOUND",
            "inline_cluster_specifier_plugin": {"extension": {"name": "lua", "typed_config": lua}},
        },
    }


def _script(default_namespace: str, rollouts: Rollouts) -> str:
    lines = [
        f'local default_namespace = "{default_namespace}"',
        f'local holder_http, holder_grpc = "{HOLDER_CLUSTERS["h"]}", "{HOLDER_CLUSTERS["g"]}"',
        "local rollouts = {",
        *(f'  ["{address}"] = {{ {_versions(rollouts[address])} }},' for address in sorted(rollouts)),
        "}",
    ]
    return "\n".join([*lines, "", _SCRIPT])


def _versions(shares: Sequence[Share]) -> str:
    """`{ number = 1, up_to = 90 }, { number = 2, up_to = 100 }`: a ticket from 1 to 100 draws a version."""
    up_to, entries = 0, list[str]()
    for share in shares:
        up_to += share.weight
        entries.append(f"{{ number = {share.version}, up_to = {up_to} }}")
    return ", ".join(entries)


def _retry_policy() -> Json:
    """Retries only of what was certainly not executed.

    `previous_priorities` sends a request past a dead replica to the holder instead of to the same replica again: with the only
    replica killed, just the requests in flight on it are lost.
    """
    previous_hosts = typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
    previous_priorities = typed(
        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=1
    )
    return {
        "retry_on": "connect-failure,refused-stream,reset-before-request,retriable-headers",
        "retriable_headers": [{"name": headers.RETRY, "present_match": True}],
        "num_retries": _RETRIES,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.020s"},
        "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": previous_hosts}],
        "host_selection_retry_max_attempts": 3,
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": previous_priorities},
    }


def _overwrite(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
