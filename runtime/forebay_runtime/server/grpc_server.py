"""grpcio's server: which RPC is answered by what, in which threads."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import grpc

from forebay_runtime.protocol.triton_messages import service
from forebay_runtime.server.grpc_api import GrpcApi
from forebay_runtime.server.grpc_inference import GrpcInference
from forebay_runtime.server.grpc_messages import MessageWatch
from forebay_runtime.server.grpc_threads import CallLimit, CallThreads
from forebay_schema.network import authority

_SERVICE: Final = "inference.GRPCInferenceService"
_LARGEST_MESSAGE: Final = (1 << 31) - 1
INFER_CALLS: Final = 1024
STREAM_CALLS: Final = 256
# Loads and unloads take as long as they take, and what waits must not keep health checks from a thread.
ORDER_CALLS: Final = 64
OTHER_CALLS: Final = 64
HEALTH_CALLS: Final = 16
_KINDS: Final = {
    "ModelInfer": "inference",
    "ModelStreamInfer": "stream",
    "RepositoryModelLoad": "load or unload",
    "RepositoryModelUnload": "load or unload",
    "ServerLive": "health",
    "ServerReady": "health",
}
_OTHER: Final = "other"
_HEALTH_SERVICE: Final = "grpc.health.v1.Health"
_MOST_PENDING: Final = 1 << 12
"""Each takes up to 20 KB."""
_OPTIONS: Final = (
    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    # A second server on the same port must be an error, not a silent share of the requests.
    ("grpc.so_reuseport", 0),
    # Calls that came and were not looked at yet. Beyond 1,000 grpc would cancel some by chance, without a word: a moment in
    # which this process does not run is enough for that, or somebody who resets streams by the thousand.
    ("grpc.server.max_pending_requests", _MOST_PENDING),
    ("grpc.server.max_pending_requests_hard_limit", 2 * _MOST_PENDING),
)


class GrpcServer:
    """Listens at once; `stop` takes nothing new and ends what is still there after a grace.

    A thread waits with each call, so their number bounds how many calls can be under way: 1,024 inferences, 256 streams (of
    up to 1,024 requests each), 64 loads and unloads, 16 health checks and 64 of everything else. One more is refused with
    UNAVAILABLE, by the retry answer where it came through the gateway.
    """

    def __init__(
        self,
        api: GrpcApi,
        inference: GrpcInference,
        address: str,
        port: int,
        *,
        max_message_bytes: int,
        on_refused: Callable[[], None],
    ) -> None:
        """Listen on the address; `on_refused` is called for each call beyond a limit, in any thread.

        Raises:
            OSError: it cannot be had.
        """
        kinds = (
            CallThreads(INFER_CALLS, "inference"),
            CallThreads(STREAM_CALLS, "stream"),
            CallThreads(ORDER_CALLS, "load or unload"),
            CallThreads(HEALTH_CALLS, "health"),
            CallThreads(OTHER_CALLS, _OTHER),
        )
        threads = _threads_of_methods({kind.kind: kind for kind in kinds})
        limit = CallLimit(threads, on_refused)
        received = ("grpc.max_receive_message_length", min(max_message_bytes, _LARGEST_MESSAGE))
        self._server: Any = grpc.server(kinds[-1], options=[*_OPTIONS, received], interceptors=[limit])
        watch = MessageWatch()
        handlers = _handlers(api, inference, threads, watch)
        self._server.add_registered_method_handlers(_SERVICE, handlers)
        health = _awaited(api.health, threads[f"/{_HEALTH_SERVICE}/Check"], watch)
        self._server.add_registered_method_handlers(_HEALTH_SERVICE, {"Check": grpc.stream_unary_rpc_method_handler(health)})
        place = authority(address, port)
        try:
            self.port = int(self._server.add_insecure_port(place))
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {place}: {error}") from None
        self._server.start()

    async def stop(self, grace_s: float) -> None:
        stopped = self._server.stop(grace_s)
        await asyncio.to_thread(stopped.wait)


def _methods() -> Sequence[Any]:
    return list(service.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods)


def _threads_of_methods(by_kind: Mapping[str, CallThreads]) -> dict[str, CallThreads]:
    threads = {f"/{_SERVICE}/{method.name}": by_kind[_KINDS.get(method.name, _OTHER)] for method in _methods()}
    return {**threads, f"/{_HEALTH_SERVICE}/Check": by_kind["health"]}


def _handlers(
    api: GrpcApi, inference: GrpcInference, threads: Mapping[str, CallThreads], watch: MessageWatch
) -> dict[str, Any]:
    handlers: dict[str, Any] = {}
    for method in _methods():
        response = getattr(service, method.output_type.name)
        request = getattr(service, method.input_type.name)
        behaviour = _awaited(api.behaviour(method.name, request), threads[f"/{_SERVICE}/{method.name}"], watch)
        handlers[method.name] = grpc.stream_unary_rpc_method_handler(behaviour, None, response.SerializeToString)
    # Bytes in and out: tensors are cut out of the message, not parsed.
    infer = _awaited(inference.infer, threads[f"/{_SERVICE}/ModelInfer"], watch)
    handlers["ModelInfer"] = grpc.stream_unary_rpc_method_handler(infer)
    stream_infer = _in_threads(inference.stream_infer, threads[f"/{_SERVICE}/ModelStreamInfer"])
    handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(stream_infer)
    return handlers


def _awaited(behaviour: Callable[[bytes, Any], Any], threads: CallThreads, watch: MessageWatch) -> Any:
    return _in_threads(watch.after_message(behaviour, threads), threads)


def _in_threads(behaviour: Callable[[Any, Any], Any], threads: CallThreads) -> Any:
    """The behaviour with threads of its own: grpcio takes them from this attribute."""

    def run(request: Any, context: Any) -> Any:
        return behaviour(request, context)

    run.experimental_thread_pool = threads  # type: ignore[attr-defined]
    return run
