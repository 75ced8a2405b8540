"""The resources that a route table needs in Envoy."""

from collections.abc import Iterator
from functools import lru_cache

from forebay_gateway.routing import primary, serving, shares
from forebay_gateway.settings import Sockets
from forebay_gateway.xds.clusters import Replica, cluster, endpoints
from forebay_gateway.xds.messages import CLUSTER, ENDPOINTS, ROUTE, Resource, renamed, resource
from forebay_gateway.xds.names import PROTOCOLS, ROUTES, ClusterName, Protocol
from forebay_gateway.xds.routes import Rollouts, route_configuration
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import Route, WeightedVersion


def clusters_of(route: Route, sockets: Sockets, *, holder_first: bool = False) -> Iterator[tuple[Resource, Resource]]:
    """The clusters of a model, each with its endpoints: one per protocol, and in a rollout one more per version."""
    for protocol in PROTOCOLS:
        yield pair(ClusterName(protocol, route.address), primary(route), sockets, holder_first=holder_first)
        if shares(route):
            for version in serving(route):
                name = ClusterName(protocol, route.address, version.version)
                yield pair(name, version, sockets, holder_first=holder_first)


def pair(
    name: ClusterName, version: WeightedVersion | None, sockets: Sockets, *, holder_first: bool = False
) -> tuple[Resource, Resource]:
    """A cluster that is answered by this version, or by the holder if there is none, or first."""
    replicas = _replicas(name.protocol, name.address, version) if version else []
    assignment = endpoints(str(name), replicas, sockets.holder(name.protocol), holder_first=holder_first)
    return renamed(_template(name.protocol), str(name)), resource(ENDPOINTS, str(name), assignment)


def generic_route(default_namespace: str, rollouts: Rollouts) -> Resource:
    return resource(ROUTE, ROUTES, route_configuration(default_namespace, rollouts))


def _replicas(protocol: Protocol, address: ModelAddress, version: WeightedVersion) -> list[Replica]:
    return [
        Replica(
            host=endpoint.host,
            port=endpoint.http if protocol == "h" else endpoint.grpc,
            model=address.name,
            version=version.version,
        )
        for endpoint in version.endpoints
    ]


@lru_cache
def _template(protocol: Protocol) -> Resource:
    return resource(CLUSTER, "template", cluster("template", protocol))
