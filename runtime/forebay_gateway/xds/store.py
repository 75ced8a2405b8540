"""The resources that Envoy should have, and whether it has them.

No I/O: streams are told what changed, and hand out responses when asked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, KeysView
from dataclasses import dataclass
from typing import Any, Final

from forebay_gateway.xds.messages import CLUSTER, ENDPOINTS, ROUTE, TYPES, Resource, message_class

_LONGEST_REASON: Final = 2000
_RESPONSE: Final = message_class("envoy.service.discovery.v3.DeltaDiscoveryResponse")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Envoy refused a response (NACK) and keeps what it had."""

    type_url: str
    name: str
    """The resource; empty if the response had several, which are sent one by one then."""
    reason: str


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a response has that Envoy has not answered yet."""

    type_url: str
    names: frozenset[str]


class ResourceStore:
    """What is wanted, by type and name."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, Resource]] = {type_url: {} for type_url in TYPES}
        self._streams: set[DeltaStream] = set()
        self.names_changed = 0
        """Rises whenever there is another set of names."""
        self.listeners: list[Callable[[], None]] = []
        """Called when a stream comes, goes, or makes progress."""

    def put(self, resources: Iterable[Resource]) -> None:
        for resource in resources:
            known = self.get(resource.type_url, resource.name)
            if known is not resource and known != resource:
                self.names_changed += known is None
                self._resources[resource.type_url][resource.name] = resource
                self._changed(resource.type_url, resource.name)

    def remove_clusters(self, names: Iterable[str]) -> None:
        """Withdraw clusters; Envoy drops their endpoints by itself."""
        for name in names:
            self.names_changed += 1
            self._resources[ENDPOINTS].pop(name, None)
            if self._resources[CLUSTER].pop(name, None):
                self._changed(CLUSTER, name)

    def get(self, type_url: str, name: str) -> Resource | None:
        return self._resources[type_url].get(name)

    def names(self, type_url: str) -> KeysView[str]:
        return self._resources[type_url].keys()

    @property
    def delivered(self) -> bool:
        """Every Envoy that is connected has answered everything; true if there is none."""
        return all(stream.settled for stream in self._streams)

    @property
    def accepted(self) -> bool:
        """Every Envoy that is connected has everything as it should be; true if there is none."""
        return self.delivered and not self.refusals

    @property
    def connected(self) -> bool:
        return bool(self._streams)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What connected Envoys have refused, until they accept it in another version or it is withdrawn."""
        return tuple(refusal for stream in self._streams for refusal in stream.refusals)

    def attach(self, stream: "DeltaStream") -> None:
        self._streams.add(stream)

    def detach(self, stream: "DeltaStream") -> None:
        self._streams.discard(stream)
        self.progressed()

    def progressed(self) -> None:
        for listener in self.listeners:
            listener()

    def _changed(self, type_url: str, name: str) -> None:
        for stream in self._streams:
            stream.changed(type_url, name)


class DeltaStream:
    """One Envoy's side of the delta protocol: its subscriptions, what it must still be told, what it has not answered yet."""

    def __init__(self, store: ResourceStore, wake: Callable[[], None]) -> None:
        """Start with nothing subscribed; `wake` is called when there is something to send."""
        self._store = store
        self._wake = wake
        self._subscribed: dict[str, set[str]] = {}
        self._wildcards: set[str] = set()
        self._dirty: dict[str, set[str]] = defaultdict(set)
        self._alone: dict[str, set[str]] = defaultdict(set)
        self._unanswered: dict[str, _Sent] = {}
        self._refused: dict[tuple[str, str], Refusal] = {}
        self._nonce = 0
        self._known_at = (-1, -1)
        self._subscriptions_changed = 0

    @property
    def settled(self) -> bool:
        """Envoy has subscribed to all there is, and has answered all it was sent."""
        idle = not self._dirty and not self._alone and not self._unanswered
        return idle and CLUSTER in self._subscribed and self._knows_all()

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return tuple(refusal for key, refusal in self._refused.items() if self._store.get(*key))

    def changed(self, type_url: str, name: str) -> None:
        if type_url in self._wildcards or name in self._subscribed.get(type_url, ()):
            self._dirty[type_url].add(name)
            self._wake()

    def receive(self, request: Any) -> Refusal | None:
        """Take a DeltaDiscoveryRequest: a subscription, an acknowledgement, or both."""
        refusal = self._answer(request) if request.response_nonce else None
        self._subscribe(request)
        self._wake()
        return refusal

    def responses(self) -> Iterator[Any]:
        """The DeltaDiscoveryResponses to send now, in the order that Envoy needs."""
        for type_url in TYPES:
            if type_url in self._dirty:
                yield self._response(type_url, self._dirty.pop(type_url))
            for name in sorted(self._alone.pop(type_url, ())):
                yield self._response(type_url, {name})

    def _knows_all(self) -> bool:
        # Asked often, of thousands of names.
        now = (self._store.names_changed, self._subscriptions_changed)
        if self._known_at != now and self._knows(ENDPOINTS) and self._knows(ROUTE):
            self._known_at = now
        return self._known_at == now

    def _knows(self, type_url: str) -> bool:
        """Whether Envoy has asked for all there is; it does not ask for endpoints of clusters that it refused."""
        unknown = self._store.names(type_url) - self._subscribed.get(type_url, set())
        return all((CLUSTER, name) in self._refused for name in unknown)

    def _answer(self, request: Any) -> Refusal | None:
        self._subscriptions_changed += 1
        sent = self._unanswered.pop(request.response_nonce, _Sent(request.type_url, frozenset()))
        for name in sent.names:
            self._refused.pop((sent.type_url, name), None)
        if not request.error_detail.code:
            return None
        reason = request.error_detail.message[:_LONGEST_REASON]
        for name in sent.names:
            self._refused[sent.type_url, name] = Refusal(sent.type_url, name, reason)
        if len(sent.names) > 1:
            # Envoy does not say in a form to rely on which of them it refuses.
            self._alone[sent.type_url] |= sent.names
        return Refusal(sent.type_url, next(iter(sent.names)) if len(sent.names) == 1 else "", reason)

    def _subscribe(self, request: Any) -> None:
        type_url = request.type_url
        if type_url not in TYPES:
            return
        self._subscriptions_changed += 1
        first = type_url not in self._subscribed
        names = set(request.resource_names_subscribe)
        if "*" in names or (first and not names):
            self._wildcards.add(type_url)
            names = set(self._store.names(type_url))
        subscribed = self._subscribed.setdefault(type_url, set())
        subscribed |= names
        subscribed -= set(request.resource_names_unsubscribe)
        news = self._news(type_url, names, dict(request.initial_resource_versions))
        # Envoy waits for a first answer of each type, also if it is empty.
        if first or news:
            self._dirty[type_url] |= news

    def _news(self, type_url: str, names: set[str], versions: dict[str, str]) -> set[str]:
        """Of these names, what Envoy lacks or has in another version, and what it has and should not."""
        differing = {name for name in names if self._version(type_url, name) != versions.get(name)}
        return differing | {name for name in versions if self._store.get(type_url, name) is None}

    def _version(self, type_url: str, name: str) -> str | None:
        resource = self._store.get(type_url, name)
        return resource.version if resource else None

    def _response(self, type_url: str, names: set[str]) -> Any:
        self._nonce += 1
        response = _RESPONSE(type_url=type_url, nonce=str(self._nonce))
        for name in sorted(names):
            resource = self._store.get(type_url, name)
            if resource is not None:
                response.resources.add(name=name, version=resource.version, resource=resource.packed())
            elif type_url == CLUSTER:
                response.removed_resources.append(name)
        self._unanswered[response.nonce] = _Sent(type_url, frozenset(names))
        return response
