"""Envoy's resources as protobuf messages with a version that is a digest of their content.

A counter would not do: Envoy tells a restarted gateway which versions it has, and an equal counter would hide a change.
"""

import hashlib
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from google.protobuf import any_pb2, descriptor_pool, json_format, message, message_factory

from forebay_gateway.xds.clusters import Json

# A message type exists only once its module is imported; those inside of `Any` are known to the JSON parser by this alone.
for _module in (
    "config.cluster.v3.cluster_pb2",
    "config.endpoint.v3.endpoint_pb2",
    "config.route.v3.route_pb2",
    "extensions.retry.host.previous_hosts.v3.previous_hosts_pb2",
    "extensions.retry.priority.previous_priorities.v3.previous_priorities_config_pb2",
    "extensions.router.cluster_specifiers.lua.v3.lua_pb2",
    "extensions.upstreams.http.v3.http_protocol_options_pb2",
    "service.discovery.v3.discovery_pb2",
    "service.load_stats.v3.lrs_pb2",
):
    import_module(f"envoy.{_module}")

_CLUSTER: Final = "envoy.config.cluster.v3.Cluster"
_PREFIX: Final = "type.googleapis.com/"
CLUSTER: Final = _PREFIX + _CLUSTER
ENDPOINTS: Final = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
ROUTE: Final = _PREFIX + "envoy.config.route.v3.RouteConfiguration"

TYPES: Final = (CLUSTER, ENDPOINTS, ROUTE)
"""In the order in which they must reach Envoy."""


def message_class(name: str) -> Any:
    """The class of one of Envoy's messages by its full name; these classes are made at run time and have no types."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


@dataclass(frozen=True, slots=True)
class Resource:
    type_url: str
    name: str
    version: str
    content: bytes

    def packed(self) -> any_pb2.Any:
        return any_pb2.Any(type_url=self.type_url, value=self.content)


def resource(type_url: str, name: str, fields: Json) -> Resource:
    """One resource from its JSON form; a field that Envoy's API does not have is an error of ours and raises."""
    return _resource(type_url, name, json_format.ParseDict(fields, message_class(type_url.removeprefix(_PREFIX))()))


def renamed(template: Resource, name: str) -> Resource:
    """A cluster like the template, under another name: parsing JSON for each of thousands would take seconds."""
    copy = message_class(_CLUSTER).FromString(template.content)
    copy.name = name
    return _resource(template.type_url, name, copy)


def _resource(type_url: str, name: str, parsed: message.Message) -> Resource:
    content = parsed.SerializeToString(deterministic=True)
    version = hashlib.blake2b(content, digest_size=8).hexdigest()
    return Resource(type_url=type_url, name=name, version=version, content=content)
