"""The two calls that the gateway makes to an API server: list a kind of objects, and watch what changes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from forebay_gateway.cluster.access import Access

Json = dict[str, Any]

_CALL_S: Final = 30.0
_CONNECT_S: Final = 5.0
_PAGE: Final = 500
_LEAST_ERROR: Final = 400
_LONGEST_ANSWER: Final = 500


class UnreachableError(Exception):
    """The API server does not answer, or no longer does."""


class RefusedError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class ApiServer:
    def __init__(self, session: aiohttp.ClientSession, access: Access) -> None:
        self._session = session
        self._access = access

    async def list(self, path: str) -> tuple[list[Json], int]:
        """All objects at a path, as they were at one version, and that version.

        Raises:
            RefusedError: the answer is an error.
            UnreachableError: there was no answer.
        """
        items: list[Json] = []
        query = {"limit": str(_PAGE)}
        while True:
            page = await self._page(path, query)
            # No objects are `null`.
            items += page["items"] or []
            more = page["metadata"].get("continue")
            if not more:
                return items, int(page["metadata"]["resourceVersion"])
            query["continue"] = more

    async def watch(self, path: str, version: int, ends_after_s: int, silence_s: float) -> AsyncGenerator[Json]:
        """What has changed since a version, bookmarks too, until the API server ends it.

        Raises:
            RefusedError: the answer is an error, or has become one.
            UnreachableError: there was no answer, or nothing more came for `silence_s` seconds.
        """
        query = {
            **{"watch": "true", "allowWatchBookmarks": "true"},
            **{"resourceVersion": str(version), "timeoutSeconds": str(ends_after_s)},
        }
        patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silence_s)
        async with self._answered(path, query, patience) as answer:
            async for event in _events(answer):
                if event["type"] == "ERROR":
                    raise _refusal(int(event["object"].get("code", 500)), json.dumps(event["object"]).encode())
                yield event

    async def _page(self, path: str, query: Mapping[str, str]) -> Json:
        patience = aiohttp.ClientTimeout(total=_CALL_S, sock_connect=_CONNECT_S)
        async with self._answered(path, query, patience) as answer:
            content: Json = json.loads(await answer.read())
            return content

    @asynccontextmanager
    async def _answered(
        self, path: str, query: Mapping[str, str], patience: aiohttp.ClientTimeout
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        headers = {"Accept": "application/json", "User-Agent": "forebay-gateway"}
        if self._access.token:
            headers["Authorization"] = f"Bearer {self._access.token}"
        url = self._access.server.rstrip("/") + path
        try:
            async with self._session.get(
                url, params=query, headers=headers, ssl=self._access.context, timeout=patience
            ) as answer:
                if answer.status >= _LEAST_ERROR:
                    raise _refusal(answer.status, await answer.read())
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError) as error:
            raise UnreachableError(f"{self._access.server}: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def connected(access: Access) -> AsyncGenerator[ApiServer]:
    """An API server with connections of its own."""
    async with aiohttp.ClientSession() as session:
        yield ApiServer(session, access)


async def _events(answer: aiohttp.ClientResponse) -> AsyncGenerator[Json]:
    """One JSON object each line; an object may be larger than what the library's own reading of lines takes."""
    rest = bytearray()
    async for chunk in answer.content.iter_any():
        rest += chunk
        *lines, last = rest.split(b"\n")
        rest = last
        for line in filter(None, lines):
            yield json.loads(line)
            # Thousands may come at once: others have their turn, too.
            await asyncio.sleep(0)


def _refusal(status: int, text: bytes) -> RefusedError:
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, LookupError, TypeError):
        message = text.decode(errors="replace")
    return RefusedError(status, message[:_LONGEST_ANSWER])
