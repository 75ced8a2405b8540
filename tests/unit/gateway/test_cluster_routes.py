"""Following the ModelDeployments of an API server, whatever it does."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from forebay_gateway.cluster.source import ClusterRoutes
from forebay_gateway.routing import RouteIndex
from forebay_gateway.settings import ClusterScope
from forebay_schema.addresses import ModelAddress
from gateway_api_server import PlayedApiServer, deployment, path_of

PATIENCE_S = 60


class Follower:
    """Takes tables, and lets a test wait for one."""

    def __init__(self, source: ClusterRoutes) -> None:
        self.source = source
        self.tables: list[RouteIndex] = []
        self._came = asyncio.Event()

    def take(self, index: RouteIndex) -> None:
        self.tables.append(index)
        self._came.set()

    @property
    def newest(self) -> RouteIndex:
        return self.tables[-1]

    def states(self) -> dict[str, str]:
        return {str(address): route.state for address, route in self.newest.routes.items()}

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not (self.tables and condition()):
                self._came.clear()
                # What is said of a failure comes without a table.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), 0.05)


@pytest.fixture
async def server() -> AsyncGenerator[PlayedApiServer]:
    made = PlayedApiServer(items=[deployment("digits", 3)], version=5)
    async with made.running():
        yield made


@pytest.fixture
async def follower(server: PlayedApiServer, tmp_path: Path) -> AsyncGenerator[Follower]:
    made = Follower(ClusterRoutes(ClusterScope((), "team-a", 45.0), tmp_path / "routes.json", server.access))
    following = asyncio.create_task(made.source.follow(made.take))
    try:
        await made.until(lambda: True)
        yield made
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_listing_is_a_table_with_the_listing_s_version(follower: Follower) -> None:
    assert follower.states() == {"team-a/digits": "held"}
    assert follower.newest.mark == "5"
    assert follower.newest.default_namespace == "team-a"
    assert follower.source.complaint == ""


async def test_a_listing_in_pages_is_taken_whole(tmp_path: Path) -> None:
    server = PlayedApiServer(items=[deployment(f"m{number}", number) for number in range(1, 6)], version=9)
    async with server.running():
        follower = Follower(ClusterRoutes(ClusterScope((), "default", 45.0), tmp_path / "routes.json", server.access))
        following = asyncio.create_task(follower.source.follow(follower.take))
        await follower.until(lambda: len(follower.newest.routes) == 5)
        following.cancel()


async def test_events_and_bookmarks_move_the_mark(server: PlayedApiServer, follower: Follower) -> None:
    await server.send("MODIFIED", deployment("digits", 7, port=8000))
    await follower.until(lambda: follower.newest.mark == "7")
    assert follower.states() == {"team-a/digits": "routed"}
    routes = follower.newest.routes
    await server.bookmark(12)
    await follower.until(lambda: follower.newest.mark == "12")
    assert follower.newest.routes is routes, "nothing is another one"
    await server.send("ADDED", deployment("faces", 13, stopped=True))
    await server.send("DELETED", deployment("digits", 14))
    await follower.until(lambda: follower.newest.mark == "14")
    assert follower.states() == {"team-a/faces": "stopped"}
    assert follower.newest.routes[ModelAddress("team-a", "faces")].reason == "spec.stopped is true"


async def test_a_watch_that_ends_goes_on_where_it_was(server: PlayedApiServer, follower: Follower) -> None:
    await server.bookmark(8)
    await follower.until(lambda: follower.newest.mark == "8")
    await server.end_watch()
    await follower.until(lambda: len(server.calls("watch")) == 2)
    assert server.calls("watch")[1].version == "8"
    assert len(server.calls("list")) == 1
    await server.send("DELETED", deployment("digits", 9))
    await follower.until(lambda: not follower.newest.routes)


async def test_after_410_everything_is_listed_anew(server: PlayedApiServer, follower: Follower) -> None:
    server.items, server.version = [deployment("faces", 20, port=9000)], 21
    await server.send("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    await follower.until(lambda: follower.newest.mark == "21")
    assert follower.states() == {"team-a/faces": "routed"}
    assert follower.source.complaint == ""
    server.items, server.version = [], 30
    server.refusals.append(("watch", 410, "too old resource version"))
    await server.end_watch()
    await follower.until(lambda: follower.newest.mark == "30")
    assert not follower.newest.routes


async def test_history_that_went_backwards_is_followed(server: PlayedApiServer, follower: Follower) -> None:
    server.items, server.version = [deployment("faces", 1)], 2
    server.refusals.append(("watch", 504, "Too large resource version: 5, current: 2"))
    await server.end_watch()
    await follower.until(lambda: follower.newest.mark == "2")
    assert follower.states() == {"team-a/faces": "held"}


async def test_a_missing_right_is_named_and_the_last_table_stays(server: PlayedApiServer, follower: Follower) -> None:
    refused = 'modeldeployments.forebay.dev is forbidden: User "x" cannot watch'
    server.refuses = (403, refused)
    await server.end_watch()
    await follower.until(lambda: follower.source.complaint)
    assert follower.source.complaint == (
        f"grant the gateway the verbs list and watch on modeldeployments.forebay.dev in all namespaces: {refused}"
    )
    assert follower.states() == {"team-a/digits": "held"}
    server.refuses = None
    await follower.until(lambda: not follower.source.complaint)


async def test_a_missing_definition_is_named(server: PlayedApiServer, follower: Follower) -> None:
    server.refuses = (404, "the server could not find the requested resource")
    await server.end_watch()
    await follower.until(lambda: "install the definition in crds/" in follower.source.complaint)
    assert follower.states() == {"team-a/digits": "held"}


async def test_an_api_server_that_is_away_is_tried_again_with_the_token_of_then(
    server: PlayedApiServer, follower: Follower
) -> None:
    server.token = "two"
    server.refusals.append(("watch", 401, "Unauthorized"))
    await server.end_watch()
    await follower.until(lambda: len(server.calls("watch")) == 3)
    assert server.asked[0].authorization == "Bearer one"
    assert {call.authorization for call in server.calls("watch")[1:]} == {"Bearer two"}
    assert len(server.calls("list")) == 1, "a token that is renewed is no reason to list anew"


async def test_the_table_stays_while_the_api_server_is_away_and_is_right_when_it_is_back(tmp_path: Path) -> None:
    server = PlayedApiServer(items=[deployment("digits", 3, port=8000)], version=5)
    follower = Follower(ClusterRoutes(ClusterScope((), "default", 45.0), tmp_path / "routes.json", server.access))
    following = asyncio.create_task(follower.source.follow(follower.take))
    async with server.running():
        await follower.until(lambda: True)
    await follower.until(lambda: "the API server cannot be reached" in follower.source.complaint)
    assert follower.states() == {"team-a/digits": "routed"}
    server.items, server.version = [], 9
    server.refusals.append(("watch", 410, "too old"))
    async with server.running():
        await follower.until(lambda: not follower.newest.routes and not follower.source.complaint)
        following.cancel()


async def test_two_namespaces_are_one_table_as_far_as_both_have_come(tmp_path: Path) -> None:
    server = PlayedApiServer(items=[deployment("digits", 3)], version=5)
    async with server.running():
        follower = Follower(
            ClusterRoutes(ClusterScope(("team-a", "team-b"), "team-a", 45.0), tmp_path / "routes.json", server.access)
        )
        following = asyncio.create_task(follower.source.follow(follower.take))
        await follower.until(lambda: follower.newest.mark == "5" and len(server.calls("watch")) == 2)
        await server.bookmark(8, "team-a")
        # The other may still be told of 6.
        await server.bookmark(7, "team-b")
        await follower.until(lambda: follower.newest.mark == "7")
        following.cancel()
    assert {call.path for call in server.asked} == {path_of("team-a"), path_of("team-b")}


async def test_a_status_that_cannot_be_followed_has_its_model_wait_and_is_named(
    server: PlayedApiServer, follower: Follower
) -> None:
    bad = deployment("digits", 7, port=8000)
    bad["status"]["traffic"][0]["endpoints"][0]["host"] = "not-an-address"
    await server.send("MODIFIED", bad)
    await follower.until(lambda: follower.newest.unusable)
    assert follower.states() == {"team-a/digits": "held"}
    assert follower.newest.unusable == {ModelAddress("team-a", "digits"): "endpoint host 'not-an-address' is no IP address"}
    await server.send("MODIFIED", deployment("digits", 8, port=8000))
    await follower.until(lambda: not follower.newest.unusable)
    assert follower.states() == {"team-a/digits": "routed"}


async def test_a_gateway_that_starts_while_the_api_server_is_away_serves_by_the_routes_of_its_predecessor(
    tmp_path: Path,
) -> None:
    server = PlayedApiServer(items=[deployment("digits", 3, port=8000)], version=5)
    scope, kept = ClusterScope((), "default", 45.0), tmp_path / "routes.json"
    first = Follower(ClusterRoutes(scope, kept, server.access))
    following = asyncio.create_task(first.source.follow(first.take))
    async with server.running():
        await first.until(kept.exists)
    following.cancel()
    second = Follower(ClusterRoutes(scope, kept, server.access))
    following = asyncio.create_task(second.source.follow(second.take))
    await second.until(lambda: True)
    assert second.states() == {"team-a/digits": "routed"}
    assert second.newest.mark == "", "nobody knows how old that is"
    assert second.source.complaint
    server.items, server.version = [], 9
    async with server.running():
        await second.until(lambda: second.newest.mark == "9")
        assert not second.newest.routes
        following.cancel()


@pytest.mark.parametrize("text", ["", "{", '{"schema": "forebay.dev/route-table/v9"}'])
async def test_kept_routes_that_make_no_sense_are_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "routes.json").write_text(text)
    server = PlayedApiServer(items=[deployment("digits", 3)], version=5)
    async with server.running():
        follower = Follower(ClusterRoutes(ClusterScope((), "default", 45.0), tmp_path / "routes.json", server.access))
        following = asyncio.create_task(follower.source.follow(follower.take))
        await follower.until(lambda: follower.newest.mark == "5")
        following.cancel()


async def test_a_namespace_that_may_not_be_listed_does_not_keep_the_others_from_being_served(tmp_path: Path) -> None:
    server = PlayedApiServer(items=[deployment("digits", 3)], version=5, closed={path_of("team-b")})
    async with server.running():
        scope = ClusterScope(("team-a", "team-b"), "team-a", 45.0)
        follower = Follower(ClusterRoutes(scope, tmp_path / "routes.json", server.access))
        following = asyncio.create_task(follower.source.follow(follower.take))
        await follower.until(lambda: follower.states() == {"team-a/digits": "held"})
        assert follower.newest.mark == ""
        assert "in namespace team-b" in follower.source.complaint
        server.closed = set()
        await follower.until(lambda: follower.newest.mark == "5")
        following.cancel()
