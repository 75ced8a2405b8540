"""Everything of `inference.GRPCInferenceService` but inference. Handlers run in grpcio's threads, their work in the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from forebay_runtime.domain.lifecycle import State
from forebay_runtime.protocol.errors import (
    InternalError,
    InvalidArgumentError,
    RequestError,
    RestrictedError,
    UnsupportedError,
)
from forebay_runtime.protocol.triton_messages import service
from forebay_runtime.server import grpc_status
from forebay_runtime.server.repository_token import RepositoryToken
from forebay_runtime.service import descriptions, repository_orders
from forebay_runtime.service.data_plane import DataPlane, version_of
from forebay_runtime.service.loaded_version import LoadedVersion
from forebay_runtime.service.repository_control import RepositoryControl
from forebay_schema import headers
from forebay_schema.logs import Logger

_log = Logger(__name__)
_SERVING: Final = b"\x08\x01"
_NOT_SERVING: Final = b"\x08\x02"

Handler = Callable[[Any, Any], Awaitable[Any]]


class GrpcApi:
    def __init__(
        self, data_plane: DataPlane, control: RepositoryControl, *, token: RepositoryToken, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._data_plane = data_plane
        self._control = control
        self._token = token
        self._loop = loop
        self._handlers: dict[str, Handler] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._repository_load,
            "RepositoryModelUnload": self._repository_unload,
        }

    def behaviour(self, method: str, request_type: Any) -> Callable[[bytes, Any], Any]:
        """The handler of an RPC, for grpcio: called in a thread, it works in the event loop and returns the response."""
        handler = self._handlers.get(method)

        def call(message: bytes, context: Any) -> Any:
            if handler is None:
                grpc_status.abort(context, UnsupportedError(f"{method} is not supported by this server"))
            try:
                work = self._work(handler, _parsed(request_type, message), context.invocation_metadata())
                return asyncio.run_coroutine_threadsafe(work, self._loop).result()
            except RequestError as error:
                grpc_status.abort(context, error)

        return call

    def health(self, _request: bytes, _context: Any) -> bytes:
        """`grpc.health.v1.Health/Check`: readiness, whatever service is asked for, as in Triton."""
        return _SERVING if self._data_plane.server_ready() else _NOT_SERVING

    async def _work(self, handler: Handler, request: Any, metadata: Any) -> Any:
        try:
            return await handler(request, metadata)
        except RequestError:
            raise
        except Exception:
            _log.exception("request failed", protocol="grpc")
            raise InternalError("internal error, see the server's log") from None

    async def _server_live(self, _request: Any, _metadata: Any) -> Any:
        return service.ServerLiveResponse(live=True)

    async def _server_ready(self, _request: Any, _metadata: Any) -> Any:
        return service.ServerReadyResponse(ready=self._data_plane.server_ready())

    async def _server_metadata(self, _request: Any, _metadata: Any) -> Any:
        return json_format.ParseDict(descriptions.server_metadata(), service.ServerMetadataResponse())

    async def _model_ready(self, request: Any, metadata: Any) -> Any:
        gateway = grpc_status.gateway_headers(metadata)
        ready = self._data_plane.model_ready(request.name, version_of(request.version), gateway)
        return service.ModelReadyResponse(ready=ready)

    async def _model_metadata(self, request: Any, metadata: Any) -> Any:
        loaded = self._find(request, metadata)
        versions = self._data_plane.store.ready_versions(loaded.key.model)
        return json_format.ParseDict(descriptions.model_metadata(loaded, versions), service.ModelMetadataResponse())

    async def _model_config(self, request: Any, metadata: Any) -> Any:
        return service.ModelConfigResponse(config=self._find(request, metadata).served.config)

    async def _model_statistics(self, request: Any, _metadata: Any) -> Any:
        found = descriptions.statistics(self._data_plane.store, request.name, version_of(request.version))
        return json_format.ParseDict(found, service.ModelStatisticsResponse())

    async def _repository_index(self, request: Any, _metadata: Any) -> Any:
        response = service.RepositoryIndexResponse()
        for row in await self._control.index():
            if request.ready and row.state is not State.READY:
                continue
            state = "" if row.version is None else row.state.value
            response.models.add(name=row.name, version=str(row.version or ""), state=state, reason=row.reason)
        return response

    async def _repository_load(self, request: Any, metadata: Any) -> Any:
        self._check_token(metadata)
        await repository_orders.load(self._control, request.model_name, _order_parameters(request))
        return service.RepositoryModelLoadResponse()

    async def _repository_unload(self, request: Any, metadata: Any) -> Any:
        self._check_token(metadata)
        await repository_orders.unload(self._control, request.model_name, _order_parameters(request))
        return service.RepositoryModelUnloadResponse()

    def _find(self, request: Any, metadata: Any) -> LoadedVersion:
        gateway = grpc_status.gateway_headers(metadata)
        return self._data_plane.find(request.name, version_of(request.version), gateway)

    def _check_token(self, metadata: Any) -> None:
        given = next((value for key, value in metadata if key == headers.REPOSITORY_TOKEN), "")
        if not self._token.opens(given):
            raise RestrictedError(f"This protocol is restricted, expecting header '{headers.REPOSITORY_TOKEN}'")


def _parsed(request_type: Any, message: bytes) -> Any:
    try:
        return request_type.FromString(message)
    except DecodeError as error:
        raise InvalidArgumentError(f"the request is no {request_type.DESCRIPTOR.name}: {error}") from None


def _order_parameters(request: Any) -> dict[str, Any]:
    if request.repository_name:
        raise UnsupportedError("repository name is not supported: this server has one repository")
    return {key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in request.parameters.items()}
