"""What the other `forebay` commands ask of a running `forebay up`: HTTP on a Unix socket that only this user can open."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from forebay_operator.domain.revisions import identify
from forebay_operator.worlds.local.admission import Admission, Document
from forebay_operator.worlds.local.events import Events
from forebay_operator.worlds.local.explanation import explain
from forebay_operator.worlds.local.objects import StoredObject
from forebay_operator.worlds.local.picture import picture
from forebay_operator.worlds.local.world import LocalWorld
from forebay_schema.addresses import ModelAddress

_MOST_BYTES: Final = 64 << 20
_LATELY: Final = 8


class ControlApi:
    """The answers. All JSON; what cannot be answered is a 404 or 422 with `error`."""

    def __init__(self, world: LocalWorld, admission: Admission, events: Events, logs: Path) -> None:
        self._world = world
        self._admission = admission
        self._events = events
        self._logs = logs
        self._runner: web.AppRunner | None = None

    async def open(self, socket: Path) -> None:
        """Answer from now on."""
        app = web.Application(client_max_size=_MOST_BYTES)
        one = "/objects/{namespace}/{name}"
        app.add_routes(
            [
                web.post("/apply", self._apply),
                web.get("/objects", self._objects),
                web.get(one, self._object),
                web.delete(one, self._delete),
                web.get(one + "/explanation", self._explanation),
                web.get(one + "/logs", self._log_files),
                web.get("/top", self._top),
                web.get("/events", self._recent_events),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(socket)).start()

    async def close(self) -> None:
        """Answer no more."""
        if self._runner:
            await self._runner.cleanup()

    async def _apply(self, request: web.Request) -> web.Response:
        said = await request.json()
        documents = [Document(file["name"], Path(file["folder"]), file["text"]) for file in said["documents"]]
        verdict = self._admission.apply(documents)
        results = [{"address": str(address), "outcome": outcome.value} for address, outcome in verdict.outcomes]
        return web.json_response({"results": results, "problems": list(verdict.problems)})

    async def _objects(self, _request: web.Request) -> web.Response:
        return web.json_response({"objects": [stored.to_object() for stored in self._world.parts.objects.all()]})

    async def _object(self, request: web.Request) -> web.Response:
        return self._about(request, self._details)

    async def _explanation(self, request: web.Request) -> web.Response:
        return self._about(request, self._explain)

    async def _log_files(self, request: web.Request) -> web.Response:
        return self._about(request, self._logs_of)

    async def _delete(self, request: web.Request) -> web.Response:
        return self._about(request, self._forget)

    async def _top(self, _request: web.Request) -> web.Response:
        return web.json_response(picture(self._world.observe()))

    async def _recent_events(self, _request: web.Request) -> web.Response:
        return web.json_response({"events": [asdict(event) for event in self._events.recent()]})

    def _about(self, request: web.Request, answer: Callable[[StoredObject], dict[str, Any]]) -> web.Response:
        address = ModelAddress(request.match_info["namespace"], request.match_info["name"])
        stored = self._world.parts.objects.get(address)
        if stored is None:
            known = [str(other.deployment.address) for other in self._world.parts.objects.all()]
            return web.json_response({"error": f"there is no ModelDeployment {address}", "known": known}, status=404)
        return web.json_response(answer(stored))

    def _details(self, stored: StoredObject) -> dict[str, Any]:
        status, address = stored.deployment.status, stored.deployment.address
        artifact = status.artifact if status else None
        manifest = self._world.parts.store.manifest(address.namespace, artifact.digest) if artifact else None
        gateway = self._world.parts.gateway
        return {
            "object": stored.to_object(),
            "origin": stored.origin,
            "ports": {"http": gateway.http_port, "grpc": gateway.grpc_port},
            "batching": bool(manifest and manifest.batching and stored.deployment.spec.serving.max_batch_size),
            "inputs": [tensor.model_dump(mode="json") for tensor in manifest.inputs] if manifest else [],
            "outputs": [tensor.model_dump(mode="json") for tensor in manifest.outputs] if manifest else [],
        }

    def _explain(self, stored: StoredObject) -> dict[str, Any]:
        chapters = [asdict(chapter) for chapter in explain(self._world.deployment_of(stored), self._world.observe())]
        lately = [str(event) for event in self._events.about(str(stored.deployment.address), _LATELY)]
        return {"chapters": [*chapters, {"title": "Lately", "lines": lately}]}

    def _logs_of(self, stored: StoredObject) -> dict[str, Any]:
        deployment = self._world.deployment_of(stored)
        own = self._world.parts.conversions.log_of(identify(deployment.address.namespace, deployment.spec).conversion)
        shared = sorted([*self._logs.glob("server-*.log"), self._logs / "gateway.log"], key=_changed_at)
        return {"own": [str(own)] if own.exists() else [], "shared": [str(path) for path in shared if path.exists()]}

    def _forget(self, stored: StoredObject) -> dict[str, Any]:
        self._admission.delete(stored.deployment.address)
        return {"origin": stored.origin}


def _changed_at(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
