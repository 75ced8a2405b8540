"""One server: a pod whose two pages are read each second, and which is given orders."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from forebay_operator.domain.actions import LoadReplica, UnloadReplica
from forebay_operator.domain.routes import Endpoint
from forebay_operator.domain.snapshot import Pool, Server, ServerPhase
from forebay_operator.manifests.pool import CONTAINER
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.page_client import PageConnection, request
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_operator.worlds.orders import Contact, Orders
from forebay_operator.worlds.server_pages import LOST_AFTER_S, PageReader, Reading, structure_of
from forebay_schema.headers import REPOSITORY_TOKEN
from forebay_schema.network import authority, bracketed

_CONNECT_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.2
_MOST_PAUSE_S: Final = 3.0


@dataclass(slots=True)
class _Page:
    """One page of the server, and the connection over which it is asked for."""

    port: int
    request: bytes
    connection: PageConnection | None = None
    connecting: "asyncio.Task[None] | None" = None
    body: bytes | None = None
    """What came since the last look."""


class PodServer:
    """A server as long as its pod is there."""

    def __init__(
        self, pod: Seen, pool: Pool, contact: Contact, changed: Callable[[], None], *, outdated: bool = False
    ) -> None:
        """`changed`: called when something happened that the step should look at now."""
        self.pool = pool
        self._outdated = outdated
        self.settled = False
        """Whether the first look at it has ended, one way or the other."""
        self._pod = pod
        self._contact = contact
        self._changed = changed
        self._orders = Orders(contact)
        self._endpoint: Endpoint | None = None
        self._pages: dict[str, _Page] = {}
        self._reader = PageReader()
        self._reading = Reading()
        self._heard_at: float | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._quiet_until = 0.0

    @property
    def pod(self) -> Seen:
        return self._pod

    @property
    def endpoint(self) -> Endpoint | None:
        return self._endpoint

    def follow(self, pod: Seen) -> None:
        """The pod as it is now."""
        if self._heard_at is None and pods.is_ready(pod) and not pods.is_ready(self._pod):
            self._quiet_until = 0.0
        self._pod = pod
        endpoint = pods.endpoint_of(pod, CONTAINER)
        if endpoint != self._endpoint:
            self._close_pages()
            self._endpoint = endpoint

    def seen(self) -> Server:
        """The server as the step sees it."""
        phase, message = self._phase()
        return Server(
            name=self._pod.name,
            pool=self.pool,
            phase=phase,
            started_at=pods.created_at(self._pod),
            endpoint=self._endpoint,
            holdings=self._orders.holdings(),
            observed_at=self._heard_at,
            message=message,
            outdated=self._outdated,
        )

    def look(self) -> None:
        """Ask for both pages. What is not answered by the next look counts as silence."""
        if self._endpoint is None or self._contact.now() < self._quiet_until:
            return
        if not self._pages:
            self._pages = self._make_pages(self._endpoint)
        for page in self._pages.values():
            if page.connection is not None:
                page.connection.ask()
            elif page.connecting is None:
                page.connecting = asyncio.ensure_future(self._connect(self._endpoint.host, page))

    def load(self, action: LoadReplica, artifact: str) -> None:
        if self._endpoint is not None:
            self._orders.load(self._address(self._endpoint), action, artifact)

    def unload(self, action: UnloadReplica) -> None:
        if self._endpoint is not None:
            self._orders.unload(self._address(self._endpoint), action)

    def close(self) -> None:
        """The pod is gone."""
        self._orders.close()
        self._close_pages()

    def _phase(self) -> tuple[ServerPhase, str]:
        if self._pod.is_going or self._reading.draining:
            return ServerPhase.DRAINING, ""
        if self._heard_at is None:
            return ServerPhase.STARTING, pods.hindrance(self._pod)
        silent = self._contact.now() - self._heard_at
        if silent > LOST_AFTER_S:
            why = pods.hindrance(self._pod) or f"It has not answered for {silent:.0f} s."
            return ServerPhase.LOST, f"server {self._pod.name} is lost: {why}"
        return ServerPhase.READY, ""

    def _make_pages(self, endpoint: Endpoint) -> dict[str, _Page]:
        ports = pods.ports_of(self._pod, CONTAINER)
        host, token = bracketed(endpoint.host), {REPOSITORY_TOKEN: self._contact.token}
        return {
            "index": _Page(endpoint.http, request("POST", "/v2/repository/index", host, token, b"{}")),
            "metrics": _Page(ports.get("metrics", 0), request("GET", "/metrics", host, {})),
        }

    async def _connect(self, host: str, page: _Page) -> None:
        def received(body: bytes) -> None:
            page.body = body
            self._take()

        def lost() -> None:
            page.connection = None
            self.settled = True

        try:
            async with asyncio.timeout(_CONNECT_S):
                _, page.connection = await asyncio.get_running_loop().create_connection(
                    lambda: PageConnection(page.request, received, lost), host, page.port
                )
        except (OSError, TimeoutError):
            self._be_quiet()
        else:
            self._pause_s = _FIRST_PAUSE_S
            page.connection.ask()
        finally:
            page.connecting = None

    def _be_quiet(self) -> None:
        """Not asked for a while, twice as long each time."""
        self._quiet_until = self._contact.now() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _MOST_PAUSE_S)
        self.settled = True

    def _take(self) -> None:
        """Both pages are there: what they say is what is."""
        index, metrics = self._pages["index"].body, self._pages["metrics"].body
        if index is None or metrics is None:
            return
        for each in self._pages.values():
            each.body = None
        try:
            reading = self._reader.read(index, metrics)
        except ValueError:
            self._be_quiet()
            return
        self._conclude(reading)

    def _conclude(self, reading: Reading) -> None:
        news = self._heard_at is None or self._is_lost() or self._is_news(reading)
        self._heard_at = self._contact.now()
        self._reading = reading
        self._orders.pages_show(reading.holdings)
        self.settled = True
        if news:
            self._changed()

    def _is_news(self, reading: Reading) -> bool:
        """Whether more than figures are others than at the last look."""
        before = self._reading
        if reading is before:
            return False
        return reading.draining != before.draining or structure_of(reading.holdings) != structure_of(before.holdings)

    def _is_lost(self) -> bool:
        return self._heard_at is not None and self._contact.now() - self._heard_at > LOST_AFTER_S

    def _address(self, endpoint: Endpoint) -> str:
        return authority(endpoint.host, endpoint.http)

    def _close_pages(self) -> None:
        for page in self._pages.values():
            if page.connecting is not None:
                page.connecting.cancel()
            if page.connection is not None:
                page.connection.close()
        self._pages = {}
