"""What kopf calls: `registry()` is the index of every event that the operator hears of."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import kopf

from forebay_operator.manifests.kinds import WATCHED, Json, Kind


class Listener(Protocol):
    """Where events go."""

    def event(self, kind: Kind, type_of_event: str | None, content: Json) -> None: ...


Login = Callable[[], Awaitable[kopf.ConnectionInfo]]


def registry(listener: Listener, login: Login) -> kopf.OperatorRegistry:
    """A fresh index: every kind that is watched, and how kopf gets its credentials, anew each time it asks."""
    made = kopf.OperatorRegistry()

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return await login()

    kopf.on.login(registry=made)(log_in)
    for kind in WATCHED:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=made, id=f"seen-{kind.plural}")(_heard(listener, kind))
    return made


def _heard(listener: Listener, kind: Kind) -> Callable[..., Awaitable[None]]:
    async def seen(event: Any, **_: Any) -> None:
        listener.event(kind, event["type"], event["object"])

    return seen
