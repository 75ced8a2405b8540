"""What the other `forebay` commands ask of a running `forebay up`: HTTP on a Unix socket that only this user can open."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from forebay_operator.domain.revisions import identify
from forebay_operator.domain.snapshot import GatewayDemand
from forebay_operator.worlds.explanation import Chapter
from forebay_operator.worlds.local.admission import Admission, Document, read_documents
from forebay_operator.worlds.local.events import Event, Events
from forebay_operator.worlds.local.explanation import explain
from forebay_operator.worlds.local.objects import StoredObject
from forebay_operator.worlds.local.picture import picture, picture_of_server
from forebay_operator.worlds.local.repository_models import RepositoryModel
from forebay_operator.worlds.local.triton_repository import TritonRepository
from forebay_operator.worlds.local.world import LocalWorld
from forebay_schema.addresses import ModelAddress
from forebay_schema.logs import Logger

_MOST_BYTES: Final = 64 << 20
_LATELY: Final = 8
_log: Final = Logger("forebay.control")


class ControlApi:
    """The answers. All JSON; what is not there is a 404, what cannot be done another error, with `error`."""

    def __init__(
        self, world: LocalWorld, admission: Admission, events: Events, logs: Path, repository: TritonRepository | None = None
    ) -> None:
        self._world = world
        self._admission = admission
        self._events = events
        self._logs = logs
        self._repository = repository
        self._runner: web.AppRunner | None = None

    async def open(self, socket: Path) -> None:
        """Answer from now on."""
        app = web.Application(client_max_size=_MOST_BYTES, middlewares=[_say_what_failed])
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
        verdict = self._admission.apply(await asyncio.to_thread(read_documents, documents, said.get("namespace", "")))
        results = [{"address": str(address), "outcome": outcome.value} for address, outcome in verdict.outcomes]
        return web.json_response({"results": results, "problems": [str(problem) for problem in verdict.problems]})

    async def _objects(self, _request: web.Request) -> web.Response:
        stored = [each.to_object() for each in self._world.parts.objects.all()]
        return web.json_response({"objects": [*stored, *(model.to_object() for model in self._repository_models())]})

    async def _object(self, request: web.Request) -> web.Response:
        match self._find(request):
            case StoredObject() as stored:
                return web.json_response(self._details(stored))
            case RepositoryModel() as model:
                return web.json_response(await self._repository_details(model))
            case None:
                return self._unknown(request)

    async def _explanation(self, request: web.Request) -> web.Response:
        match self._find(request):
            case StoredObject() as stored:
                return web.json_response({"chapters": [asdict(chapter) for chapter in self._explain(stored)]})
            case RepositoryModel() as model:
                demand = (self._world.parts.gateway.demand() or {}).get(_address(request))
                return web.json_response({"chapters": [asdict(chapter) for chapter in model.explain(demand)]})
            case None:
                return self._unknown(request)

    async def _log_files(self, request: web.Request) -> web.Response:
        found = self._find(request)
        if found is None:
            return self._unknown(request)
        shared = sorted([*self._logs.glob("server-*.log"), self._logs / "gateway.log"], key=_changed_at)
        own = [self._conversion_log(found)] if isinstance(found, StoredObject) else []
        kinds = {"own": own, "shared": shared}
        return web.json_response({kind: [str(path) for path in paths if path.exists()] for kind, paths in kinds.items()})

    async def _delete(self, request: web.Request) -> web.Response:
        match self._find(request):
            case StoredObject() as stored:
                self._admission.delete(stored.deployment.address)
                return web.json_response({"origin": stored.origin})
            case RepositoryModel() as model:
                why = f"{model.name} is no ModelDeployment: it is served as it is from {model.repository}"
                return web.json_response({"error": f"{why}; remove its folder and start `forebay up` again"}, status=422)
            case None:
                return self._unknown(request)

    async def _top(self, _request: web.Request) -> web.Response:
        shown = picture(self._world.observe())
        demand = self._world.parts.gateway.demand() or {}
        for model in self._repository_models():
            shown["models"].append(model.picture(demand.get(ModelAddress(model.namespace, model.name), GatewayDemand())))
        if self._repository and (server := self._repository.seen()):
            shown["servers"].append(picture_of_server(server))
        return web.json_response(shown)

    async def _recent_events(self, _request: web.Request) -> web.Response:
        return web.json_response({"events": [asdict(event) for event in self._events.recent()]})

    def _find(self, request: web.Request) -> StoredObject | RepositoryModel | None:
        """What is served under a name: a ModelDeployment, else a model of the repository."""
        address = _address(request)
        stored = self._world.parts.objects.get(address)
        return stored or next((model for model in self._repository_models() if _named(model) == address), None)

    def _repository_models(self) -> list[RepositoryModel]:
        """Those whose names no ModelDeployment has."""
        models = self._repository.models() if self._repository else ()
        return [model for model in models if self._world.parts.objects.get(_named(model)) is None]

    def _unknown(self, request: web.Request) -> web.Response:
        known = [stored.deployment.address for stored in self._world.parts.objects.all()]
        known += [_named(model) for model in self._repository_models()]
        error = f"there is no ModelDeployment {_address(request)}"
        return web.json_response({"error": error, "known": [str(address) for address in known]}, status=404)

    def _details(self, stored: StoredObject) -> dict[str, Any]:
        status, address = stored.deployment.status, stored.deployment.address
        artifact = status.artifact if status else None
        manifest = self._world.parts.store.manifest(address.namespace, artifact.digest) if artifact else None
        return {
            "object": stored.to_object(),
            "origin": stored.origin,
            "ports": self._ports(),
            "batching": bool(manifest and manifest.batching and stored.deployment.spec.serving.max_batch_size),
            "inputs": [tensor.model_dump(mode="json") for tensor in manifest.inputs] if manifest else [],
            "outputs": [tensor.model_dump(mode="json") for tensor in manifest.outputs] if manifest else [],
        }

    async def _repository_details(self, model: RepositoryModel) -> dict[str, Any]:
        said = await self._repository.metadata(model) if self._repository else None
        tensors = {kind: said.get(kind, []) if said else [] for kind in ("inputs", "outputs")}
        return {"object": model.to_object(), "origin": "", "ports": self._ports(), "batching": False, **tensors}

    def _ports(self) -> dict[str, int]:
        gateway = self._world.parts.gateway
        return {"http": gateway.http_port, "grpc": gateway.grpc_port}

    def _explain(self, stored: StoredObject) -> list[Chapter]:
        deployment = self._world.deployment_of(stored)
        lately = self._events.about(str(stored.deployment.address), _LATELY)
        now = deployment.status.summary if deployment.status else ""
        return [*explain(deployment, self._world.observe()), Chapter("Lately", tuple(_told(event, now) for event in lately))]

    def _conversion_log(self, stored: StoredObject) -> Path:
        deployment = self._world.deployment_of(stored)
        return self._world.parts.conversions.log_of(identify(deployment.address.namespace, deployment.spec).conversion)


@web.middleware
async def _say_what_failed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A failure is answered in words, and logged with where it happened."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.json_response({"error": error.text or error.reason}, status=error.status)
    except Exception as error:
        _log.exception("a command failed", path=request.path)
        return web.json_response({"error": f"forebay up failed at it: {type(error).__name__}: {error}"}, status=500)


def _told(event: Event, now: str) -> str:
    """When, and what: the state that goes on was told above."""
    return f"{event.clock}  {'as it is now' if event.text == now else event.text}"


def _address(request: web.Request) -> ModelAddress:
    return ModelAddress(request.match_info["namespace"], request.match_info["name"])


def _named(model: RepositoryModel) -> ModelAddress:
    return ModelAddress(model.namespace, model.name)


def _changed_at(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
