"""A stand-in for Envoy's side of the delta protocol, and builders of route tables."""

from typing import Any

from forebay_gateway.routing import RouteIndex, index_of
from forebay_gateway.xds.messages import CLUSTER, ENDPOINTS, ROUTE, TYPES, message_class
from forebay_gateway.xds.names import ROUTES
from forebay_gateway.xds.store import DeltaStream, ResourceStore
from forebay_schema.routes import Endpoint, Route, RouteTable, WeightedVersion

_REQUEST = message_class("envoy.service.discovery.v3.DeltaDiscoveryRequest")
_CLUSTER = message_class("envoy.config.cluster.v3.Cluster")
_ENDPOINTS = message_class("envoy.config.endpoint.v3.ClusterLoadAssignment")


def at(port: int) -> Endpoint:
    return Endpoint(host="10.0.0.1", http=port, grpc=port + 1)


def route(name: str, *versions: tuple[int, int, int], namespace: str = "default", **fields: Any) -> Route:
    """A model whose versions have (number, weight, port); held if there is none."""
    weighted = tuple(
        WeightedVersion(version=number, weight=weight, endpoints=(at(port),)) for number, weight, port in versions
    )
    state = "routed" if versions else "held"
    return Route.model_validate({"namespace": namespace, "name": name, "state": state, "versions": weighted, **fields})


def index(*routes: Route) -> RouteIndex:
    return index_of(RouteTable(routes=routes))


class EnvoyTwin:
    """Keeps what it is sent, subscribes to what it learns of, and acknowledges when it is told to."""

    def __init__(self, store: ResourceStore, known: "EnvoyTwin | None" = None) -> None:
        """A new Envoy, or one that comes back with what it knew."""
        self.resources: dict[str, dict[str, Any]] = known.resources if known else {type_url: {} for type_url in TYPES}
        self.dislikes: set[str] = set()
        """Names of resources that it refuses, and the whole response with them."""
        self.dislikes_content: set[bytes] = set()
        """Bytes that it refuses in any resource."""
        self.received: list[tuple[str, tuple[str, ...]]] = []
        self._store = store
        self._unanswered: list[Any] = []
        self.stream = DeltaStream(store, lambda: None)
        store.attach(self.stream)
        self._ask(CLUSTER, initial_resource_versions=self._versions(CLUSTER))
        self._subscribe_endpoints(sorted(self.resources[CLUSTER]))
        self._ask(ROUTE, resource_names_subscribe=[ROUTES], initial_resource_versions=self._versions(ROUTE))

    def receive(self) -> None:
        """Take what the gateway has to send, without an answer yet."""
        for response in self.stream.responses():
            self.received.append((response.type_url, tuple(resource.name for resource in response.resources)))
            self._unanswered.append(response)

    def acknowledge(self) -> None:
        """Answer what was taken; learn of new clusters, ask for their endpoints."""
        answered, self._unanswered = self._unanswered, []
        for response in answered:
            if self._dislikes(response):
                self._refuse(response, "disliked")
                continue
            self._apply(response)
            self._ask(response.type_url, response_nonce=response.nonce)
            if response.type_url == CLUSTER:
                self._subscribe_endpoints([resource.name for resource in response.resources])

    def refuse(self, reason: str) -> None:
        for response in self._unanswered:
            self._refuse(response, reason)
        self._unanswered.clear()

    def catch_up(self) -> None:
        """Take and answer until there is nothing left."""
        while True:
            self.receive()
            if not self._unanswered:
                return
            self.acknowledge()

    def leave(self) -> None:
        self._store.detach(self.stream)

    def clusters(self) -> dict[str, list[tuple[int, str]]]:
        """The clusters with the port and version of their replicas."""
        return {name: self._replicas(name) for name in self.resources[CLUSTER]}

    def _dislikes(self, response: Any) -> bool:
        names = {resource.name for resource in response.resources}
        contents = [resource.resource.value for resource in response.resources]
        return bool(self.dislikes & names) or any(part in content for part in self.dislikes_content for content in contents)

    def _replicas(self, name: str) -> list[tuple[int, str]]:
        assignment = _ENDPOINTS.FromString(self.resources[ENDPOINTS][name].resource.value)
        replicas, _holder = assignment.endpoints
        return [
            (
                entry.endpoint.address.socket_address.port_value,
                entry.metadata.filter_metadata["forebay"].fields["version"].string_value,
            )
            for entry in replicas.lb_endpoints
        ]

    def _apply(self, response: Any) -> None:
        for resource in response.resources:
            self.resources[response.type_url][resource.name] = resource
        for name in response.removed_resources:
            self.resources[response.type_url].pop(name, None)

    def _refuse(self, response: Any, reason: str) -> None:
        self._ask(response.type_url, response_nonce=response.nonce, error_detail={"code": 3, "message": reason})

    def _subscribe_endpoints(self, names: list[str]) -> None:
        if names:
            self._ask(ENDPOINTS, resource_names_subscribe=names, initial_resource_versions=self._versions(ENDPOINTS))

    def _versions(self, type_url: str) -> dict[str, str]:
        return {name: resource.version for name, resource in self.resources[type_url].items()}

    def _ask(self, type_url: str, **fields: Any) -> None:
        self.stream.receive(_REQUEST(type_url=type_url, **fields))
        self._store.progressed()
