"""Plays an API server to the gateway: lists and watches of ModelDeployments, and what may go wrong with them."""

import asyncio
import json
import ssl
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from forebay_gateway.cluster.access import Access

Json = dict[str, Any]
_PAGE = 2


def deployment(name: str, version: int, *, namespace: str = "team-a", stopped: bool = False, port: int = 0) -> Json:
    """A ModelDeployment; with a port, its first revision is served there."""
    endpoint = {"host": "10.0.0.1", "http": port, "grpc": port + 1}
    traffic = [{"revision": 1, "weight": 100, "endpoints": [endpoint]}] if port else []
    return {
        "metadata": {"namespace": namespace, "name": name, "resourceVersion": str(version)},
        "spec": {"stopped": stopped},
        "status": {"traffic": traffic},
    }


@dataclass(slots=True)
class Asked:
    """A call that came."""

    path: str
    what: str
    version: str
    authorization: str


@dataclass
class PlayedApiServer:
    """Answers lists from `items`; watches get what `send` is given."""

    items: list[Json] = field(default_factory=list[Json])
    version: int = 1
    token: str = "one"
    asked: list[Asked] = field(default_factory=list[Asked])
    refusals: deque[tuple[str, int, str]] = field(default_factory=deque[tuple[str, int, str]])
    """What is refused once: `list` or `watch`, the status, the message."""
    refuses: tuple[int, str] | None = None
    """What everything is refused with, as long as it is set."""
    closed: set[str] = field(default_factory=set[str])
    """Paths that nobody may list."""
    port: int = 0
    _lines: defaultdict[str, deque[bytes]] = field(default_factory=lambda: defaultdict(deque[bytes]))
    """What watches of a path are to be sent; the newest watch takes it."""
    _watches: Counter[str] = field(default_factory=Counter[str])
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def running(self) -> "AsyncGenerator[PlayedApiServer]":
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    def access(self) -> Access:
        return Access(f"http://127.0.0.1:{self.port}", ssl.create_default_context(), self.token)

    async def send(self, kind: str, content: Json, namespace: str = "") -> None:
        await self._put(json.dumps({"type": kind, "object": content}).encode() + b"\n", namespace)

    async def bookmark(self, version: int, namespace: str = "") -> None:
        await self.send("BOOKMARK", {"metadata": {"resourceVersion": str(version)}}, namespace)

    async def end_watch(self) -> None:
        await self._put(b"")

    def calls(self, what: str) -> list[Asked]:
        return [each for each in self.asked if each.what == what]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        what = "watch" if "watch" in request.query else "list"
        if what == "watch" or "continue" not in request.query:
            authorization = request.headers.get("Authorization", "")
            self.asked.append(Asked(request.path, what, request.query.get("resourceVersion", ""), authorization))
        if request.path in self.closed:
            return _refusal(403, "forbidden")
        if self.refuses:
            return _refusal(*self.refuses)
        if self.refusals and self.refusals[0][0] == what:
            _, status, message = self.refusals.popleft()
            return _refusal(status, message)
        return await self._watch(request) if what == "watch" else self._list(request)

    def _list(self, request: web.Request) -> web.Response:
        start = int(request.query.get("continue", "0"))
        page, more = self.items[start : start + _PAGE], start + _PAGE < len(self.items)
        metadata = {"resourceVersion": str(self.version)} | ({"continue": str(start + _PAGE)} if more else {})
        # Go's way with an empty list.
        return web.json_response({"metadata": metadata, "items": page or None})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        self._watches[request.path] += 1
        while line := await self._next(request.path, self._watches[request.path]):
            # In pieces, as they may come.
            middle = len(line) // 2
            await answer.write(line[:middle])
            await asyncio.sleep(0)
            await answer.write(line[middle:])
        return answer

    async def _put(self, line: bytes, namespace: str = "") -> None:
        async with self._news:
            self._lines[path_of(namespace)].append(line)
            self._news.notify_all()

    async def _next(self, path: str, watch: int) -> bytes:
        """The next line for a watch; nothing for one that has a successor."""
        async with self._news:
            self._news.notify_all()
            await self._news.wait_for(lambda: self._lines[path] or self._watches[path] != watch)
            return self._lines[path].popleft() if self._watches[path] == watch else b""


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": status, "message": message}, status=status)


def path_of(namespace: str) -> str:
    return f"/apis/forebay.dev/v1alpha1/{f'namespaces/{namespace}/' if namespace else ''}modeldeployments"
