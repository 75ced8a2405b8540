"""All servers: pods that are labelled as such, their pages read once a second, spread over it."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import aiohttp

from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.snapshot import Pool, Server
from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import PODS
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.claims import Claims
from forebay_operator.worlds.kubernetes.pod_server import PodServer
from forebay_operator.worlds.kubernetes.store import Seen, Store
from forebay_operator.worlds.orders import Contact

LOOK_S: Final = 1.0
_SLOTS: Final = 50


class Tokens:
    """The repository tokens of all namespaces, made of one key: another operator with that key has the same."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, namespace: str) -> str:
        return hmac.new(self._key, f"repository/{namespace}".encode(), hashlib.sha256).hexdigest()


class Servers:
    """Follows the pods of servers, reads their pages, and passes orders on."""

    def __init__(
        self,
        store: Store,
        tokens: Tokens,
        now: Callable[[], float],
        changed: Callable[[], None],
        *,
        claims: Claims,
        is_outdated: Callable[[Pool, Seen], bool] = lambda _pool, _pod: False,
    ) -> None:
        """`is_outdated`: whether a pod of a pool was made another way than they are made now."""
        self._is_outdated = is_outdated
        self._store = store
        self._tokens = tokens
        self._claims = claims
        self._now = now
        self._changed = changed
        self._servers: dict[str, PodServer] = {}
        self._by_name: dict[str, PodServer] = {}
        self._pods_revision = -1
        self._http: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Look at every server once a second until cancelled: in slots of 20 ms, so that one timer serves all."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, limit_per_host=0)) as http:
            self._http = http
            loop = asyncio.get_running_loop()
            at, slot = loop.time(), 0
            try:
                while True:
                    for server in list(self._servers.values())[slot::_SLOTS]:
                        server.look()
                    slot = (slot + 1) % _SLOTS
                    at = max(at + LOOK_S / _SLOTS, loop.time() - LOOK_S)
                    await asyncio.sleep(at - loop.time())
                    self.follow()
            finally:
                self._http = None
                for server in self._servers.values():
                    server.close()
                self._servers = {}
                self._by_name = {}
                self._pods_revision = -1

    def follow(self) -> None:
        """Take notice of pods that came, changed or went."""
        revision = self._store.revision(PODS)
        if self._http is None or revision == self._pods_revision:
            return
        self._pods_revision = revision
        present = self._present()
        for uid in self._servers.keys() - present.keys():
            self._servers.pop(uid).close()
        for uid, (pod, pool) in present.items():
            server = self._servers.get(uid) or self._new(pod, pool, self._http)
            server.follow(pod)
            self._servers[uid] = server
        self._by_name = {server.pod.name: server for server in self._servers.values()}

    @property
    def are_settled(self) -> bool:
        """Whether every pod that the kubelet calls ready was looked at: before that, replicas would seem to be missing."""
        self.follow()
        return self._http is not None and all(
            server.settled or not pods.is_ready(server.pod) for server in self._servers.values()
        )

    def seen(self) -> list[Server]:
        self.follow()
        return [server.seen() for server in self._servers.values()]

    def load(self, action: LoadReplica, artifact: str) -> None:
        if server := self._server(action):
            server.load(action, artifact)

    def unload(self, action: UnloadReplica) -> None:
        if server := self._server(action):
            server.unload(action)

    def _server(self, action: LoadReplica | UnloadReplica) -> PodServer | None:
        """The server that an order is for: one of the model's own namespace."""
        found = self._by_name.get(action.server)
        return found if found is not None and found.pod.namespace == action.address.namespace else None

    def _present(self) -> dict[str, tuple[Seen, Pool]]:
        """By uid, the pods that are servers, with their pools. Of namesakes, which only several namespaces can have, it is
        the first that was made: nobody hides a server by a pod of its name."""
        found: dict[str, tuple[Seen, Pool]] = {}
        for pod in self._store.all(PODS):
            pool = self._claims.pool_of_server(pod) if is_server(pod) and not pods.has_ended(pod) else None
            if pool is None:
                continue
            before = found.get(pod.name)
            if before is None or self._age(pod) < self._age(before[0]):
                found[pod.name] = pod, pool
            if before is not None:
                ignored = before[0] if found[pod.name][0] is pod else pod
                self._claims.ignore(PODS, ignored, f"a server of the namespace {found[pod.name][0].namespace} has its name")
        return {pod.uid: (pod, pool) for pod, pool in found.values()}

    def _age(self, pod: Seen) -> tuple[str, bool, str]:
        """Sorts the oldest first. Times of creation, which the API server writes, are whole seconds."""
        return str(pod.metadata["creationTimestamp"]), pod.uid not in self._servers, pod.uid

    def _new(self, pod: Seen, pool: Pool, http: aiohttp.ClientSession) -> PodServer:
        contact = Contact(http=http, token=self._tokens.of(pod.namespace), now=self._now, done=lambda: self._look_now(pod.uid))
        return PodServer(pod, pool, contact, self._changed, outdated=self._is_outdated(pool, pod))

    def _look_now(self, uid: str) -> None:
        if server := self._servers.get(uid):
            server.look()
        self._changed()


def is_server(pod: Seen) -> bool:
    return pod.labels.get(names.COMPONENT) == names.SERVER and names.POOL in pod.labels
