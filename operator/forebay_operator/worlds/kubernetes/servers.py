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
from forebay_operator.manifests.pool import pool_of
from forebay_operator.worlds.kubernetes import pods
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
        is_outdated: Callable[[Pool, Seen], bool] = lambda _pool, _pod: False,
    ) -> None:
        """`is_outdated`: whether a pod of a pool was made another way than they are made now."""
        self._is_outdated = is_outdated
        self._store = store
        self._tokens = tokens
        self._now = now
        self._changed = changed
        self._servers: dict[str, PodServer] = {}
        self._by_name: dict[str, PodServer] = {}
        self._pods_revision = -1
        self._http: aiohttp.ClientSession | None = None
        self._pools: dict[str, Pool | None] = {}

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
        present = {pod.uid: pod for pod in self._store.all(PODS) if is_server(pod) and not pods.has_ended(pod)}
        for uid in self._servers.keys() - present.keys():
            self._servers.pop(uid).close()
        for uid, pod in present.items():
            if server := self._servers.get(uid) or self._new(pod, self._http):
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
        if server := self._by_name.get(action.server):
            server.load(action, artifact)

    def unload(self, action: UnloadReplica) -> None:
        if server := self._by_name.get(action.server):
            server.unload(action)

    def _new(self, pod: Seen, http: aiohttp.ClientSession) -> PodServer | None:
        pool = self._pool_of(pod)
        if pool is None:
            return None
        contact = Contact(http=http, token=self._tokens.of(pod.namespace), now=self._now, done=lambda: self._look_now(pod.uid))
        return PodServer(pod, pool, contact, self._changed, outdated=self._is_outdated(pool, pod))

    def _look_now(self, uid: str) -> None:
        if server := self._servers.get(uid):
            server.look()
        self._changed()

    def _pool_of(self, pod: Seen) -> Pool | None:
        text = pod.annotations.get(names.POOL, "")
        if text not in self._pools:
            self._pools[text] = pool_of(text)
        return self._pools[text]


def is_server(pod: Seen) -> bool:
    return pod.labels.get(names.COMPONENT) == names.SERVER and names.POOL in pod.labels
