"""Triton's HTTP surface: which path and verb does what."""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from forebay_runtime.protocol.http_answers import HttpAnswer
from forebay_runtime.server.http_connection import Exchange

Handler = Callable[[Exchange, Mapping[str, str]], HttpAnswer | Coroutine[Any, Any, HttpAnswer | None] | None]
"""Answers a request; None: it will answer the exchange itself, later."""

_MODEL: Final = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[0-9]+))?"

_LONGEST_KEPT: Final = 512


@dataclass(frozen=True, slots=True)
class Route:
    """`restricted`: needs the repository token."""

    name: str
    method: str
    pattern: re.Pattern[str]
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    values: Mapping[str, str]


def _route(name: str, method: str, pattern: str, *, restricted: bool = False) -> Route:
    return Route(name, method, re.compile(pattern), restricted)


# In this order: `/v2/models/stats` is no model of that name.
ROUTES: Final = (
    _route("infer", "POST", rf"{_MODEL}/infer"),
    _route("server_metadata", "GET", r"/v2/?"),
    _route("health_live", "GET", r"/v2/health/live"),
    _route("health_ready", "GET", r"/v2/health/ready"),
    _route("all_statistics", "GET", r"/v2/models/stats"),
    _route("model_ready", "GET", rf"{_MODEL}/ready"),
    _route("model_config", "GET", rf"{_MODEL}/config"),
    _route("model_statistics", "GET", rf"{_MODEL}/stats"),
    _route("model_metadata", "GET", _MODEL),
    _route("repository_index", "POST", r"/v2/repository(?:/[^/]+)?/index"),
    _route("repository_load", "POST", r"/v2/repository/models/(?P<model>[^/]+)/load", restricted=True),
    _route("repository_unload", "POST", r"/v2/repository/models/(?P<model>[^/]+)/unload", restricted=True),
    _route("named_repository", "POST", r"/v2/repository/[^/]+/models/[^/]+/(?:load|unload)", restricted=True),
    _route("generate", "POST", rf"{_MODEL}/generate(?:_stream)?"),
    _route("model_trace", "ANY", rf"{_MODEL}/trace/setting"),
    _route("trace", "ANY", r"/v2/trace/setting"),
    _route("logging", "ANY", r"/v2/logging"),
    _route("shared_memory", "ANY", r"/v2/(?:system|cuda)sharedmemory(?:/region/[^/]+)?/(?:status|register|unregister)"),
)


def match(path: str) -> Match | None:
    """The route of a path, whatever the verb."""
    return _kept_match(path) if len(path) <= _LONGEST_KEPT else _match(path)


def _match(path: str) -> Match | None:
    for route in ROUTES:
        found = route.pattern.fullmatch(path)
        if found is not None:
            return Match(route, {key: value for key, value in found.groupdict().items() if value is not None})
    return None


_kept_match = lru_cache(maxsize=4096)(_match)
