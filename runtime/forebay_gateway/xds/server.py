"""The gRPC services that our Envoy calls over a Unix socket: configuration (ADS) and load reports (LRS)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.load_stats.v3 import lrs_pb2_grpc
from google.protobuf.duration_pb2 import Duration

from forebay_gateway.xds.messages import message_class
from forebay_gateway.xds.store import DeltaStream, ResourceStore
from forebay_schema.logs import Logger

_log: Final = Logger(__name__)
_REPORT: Final = message_class("envoy.service.load_stats.v3.LoadStatsRequest")
_WISH: Final = message_class("envoy.service.load_stats.v3.LoadStatsResponse")

LoadListener = Callable[[Any], None]
"""Called with each report, and with an empty one when an Envoy has gone."""


class Discovery(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]  # grpc's classes have no types
    """Delta ADS: one stream per Envoy."""

    def __init__(self, store: ResourceStore) -> None:
        self._store = store
        self.refused = 0
        """Responses that an Envoy has refused, since the start."""

    async def DeltaAggregatedResources(  # noqa: N802  (the service's name for it)
        self,
        request_iterator: AsyncIterator[Any],
        context: Any,  # noqa: ARG002
    ) -> AsyncIterator[Any]:
        wake = asyncio.Event()
        stream = DeltaStream(self._store, wake.set)
        self._store.attach(stream)
        reader = asyncio.create_task(self._read(request_iterator, stream))
        reader.add_done_callback(lambda _: wake.set())
        try:
            while not reader.done():
                await wake.wait()
                wake.clear()
                for response in stream.responses():
                    yield response
                self._store.progressed()
        finally:
            reader.cancel()
            self._store.detach(stream)

    async def _read(self, requests: AsyncIterator[Any], stream: DeltaStream) -> None:
        async for request in requests:
            refusal = stream.receive(request)
            if refusal:
                self.refused += 1
                _log.error("Envoy refused a configuration", type=refusal.type_url, name=refusal.name, reason=refusal.reason)


class LoadReports(lrs_pb2_grpc.LoadReportingServiceServicer):  # type: ignore[misc]  # grpc's classes have no types
    """LRS: Envoy reports on all clusters, every `interval_s` seconds."""

    def __init__(self, listener: LoadListener) -> None:
        self._listener = listener
        self._interval_s = 1.0
        self._changed = asyncio.Event()

    def set_interval(self, seconds: float) -> None:
        """Ask for reports at another interval, from now on."""
        if seconds != self._interval_s:
            self._interval_s = seconds
            self._changed.set()

    async def StreamLoadStats(  # noqa: N802  (the service's name for it)
        self,
        request_iterator: AsyncIterator[Any],
        context: Any,  # noqa: ARG002
    ) -> AsyncIterator[Any]:
        reader = asyncio.create_task(self._read(request_iterator))
        reader.add_done_callback(lambda _: self._changed.set())
        try:
            while not reader.done():
                self._changed.clear()
                yield self._wish()
                await self._changed.wait()
        finally:
            reader.cancel()

    async def _read(self, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                self._listener(request)
        finally:
            self._listener(_REPORT())

    def _wish(self) -> Any:
        interval = Duration()
        interval.FromMilliseconds(round(self._interval_s * 1000))
        return _WISH(send_all_clusters=True, load_reporting_interval=interval)


async def serve(discovery: Discovery, loads: LoadReports, socket: Path) -> grpc.aio.Server:
    """Start both services. Open the socket only when the store is complete: Envoy drops what it does not find there."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(discovery, server)
    lrs_pb2_grpc.add_LoadReportingServiceServicer_to_server(loads, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return server
