"""grpcio's server: which RPC is answered by what, in which threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

from forebay_runtime.protocol.triton_messages import service
from forebay_runtime.server.grpc_api import GrpcApi
from forebay_runtime.server.grpc_inference import GrpcInference

_SERVICE: Final = "inference.GRPCInferenceService"
_LARGEST_MESSAGE: Final = (1 << 31) - 1
# A thread waits with each request: their number bounds how many can queue. They are made as they are needed.
_INFER_THREADS: Final = 1024
_STREAM_THREADS: Final = 256
# Loads and unloads take as long as they take: health checks and metadata have threads of their own.
_ORDER_THREADS: Final = 64
_OTHER_THREADS: Final = 8
_ORDERS: Final = ("RepositoryModelLoad", "RepositoryModelUnload")
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    # A second server on the same port must be an error, not a silent share of the requests.
    ("grpc.so_reuseport", 0),
)


class GrpcServer:
    """Listens at once; `stop` takes nothing new and ends what is still there after a grace."""

    def __init__(self, api: GrpcApi, inference: GrpcInference, address: str, port: int) -> None:
        """Listen on the address.

        Raises:
            OSError: it cannot be had.
        """
        pools = [
            ThreadPoolExecutor(_INFER_THREADS, thread_name_prefix="grpc-infer"),
            ThreadPoolExecutor(_STREAM_THREADS, thread_name_prefix="grpc-stream"),
            ThreadPoolExecutor(_ORDER_THREADS, thread_name_prefix="grpc-order"),
        ]
        self._server: Any = grpc.server(ThreadPoolExecutor(_OTHER_THREADS, thread_name_prefix="grpc"), options=_OPTIONS)
        self._server.add_registered_method_handlers(_SERVICE, _handlers(api, inference, *pools))
        health = grpc.unary_unary_rpc_method_handler(api.health)
        self._server.add_registered_method_handlers("grpc.health.v1.Health", {"Check": health})
        try:
            self.port = int(self._server.add_insecure_port(f"{address}:{port}"))
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {address}:{port}: {error}") from None
        self._server.start()

    async def stop(self, grace_s: float) -> None:
        stopped = self._server.stop(grace_s)
        await asyncio.to_thread(stopped.wait)


def _handlers(
    api: GrpcApi,
    inference: GrpcInference,
    infer_pool: ThreadPoolExecutor,
    stream_pool: ThreadPoolExecutor,
    order_pool: ThreadPoolExecutor,
) -> dict[str, Any]:
    handlers: dict[str, Any] = {}
    for method in service.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        request = getattr(service, method.input_type.name)
        response = getattr(service, method.output_type.name)
        behaviour: Any = api.behaviour(method.name)
        if method.name in _ORDERS:
            behaviour.experimental_thread_pool = order_pool
        handlers[method.name] = grpc.unary_unary_rpc_method_handler(behaviour, request.FromString, response.SerializeToString)

    def infer(message: bytes, context: Any) -> bytes:
        return inference.infer(message, context)

    def stream_infer(messages: Any, context: Any) -> Any:
        return inference.stream_infer(messages, context)

    # Requests that wait must not keep health checks from a thread; grpcio takes a handler's own pool from this attribute.
    infer.experimental_thread_pool = infer_pool  # type: ignore[attr-defined]
    stream_infer.experimental_thread_pool = stream_pool  # type: ignore[attr-defined]
    # Bytes in and out: tensors are cut out of the message, not parsed.
    handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(infer)
    handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(stream_infer)
    return handlers
