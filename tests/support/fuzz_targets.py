"""Every parser that we wrote, as a function of bytes: it understands them, or refuses them as it says it does."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from forebay_convert import graphs
from forebay_convert.failures import ConversionError
from forebay_convert.reports import RefusalError
from forebay_convert.verifying import read_report
from forebay_gateway.envoy.admin import parse_statistics
from forebay_gateway.holder import grpc_messages, http1
from forebay_gateway.holder.frames import PREFACE, FrameError, take_frames
from forebay_gateway.holder.http1 import ProtocolError
from forebay_gateway.holder.http2 import Http2Connection
from forebay_operator.api import loading
from forebay_operator.manifests import pool, quantities
from forebay_operator.worlds.server_pages import PageReader
from forebay_runtime.domain.device_spec import DeviceSpecError, parse_device, parse_size
from forebay_runtime.protocol import byte_strings, compression, grpc_wire, http_head, infer_grpc, infer_json, model_config
from forebay_runtime.protocol.datatypes import BYTES, DATATYPES
from forebay_runtime.protocol.errors import RequestError
from forebay_runtime.protocol.http_chunks import BodyTooLargeError, ChunkDecoder, ChunkError
from forebay_runtime.protocol.http_head import HttpSyntaxError
from forebay_runtime.protocol.model_config import ConfigError
from forebay_runtime.protocol.signature import ModelSignature, TensorSignature
from forebay_runtime.server import http_routes
from forebay_runtime.service.data_plane import version_of
from forebay_schema.addresses import address_of_authority
from forebay_schema.conversion import ConversionOrder
from forebay_schema.demand import DemandLine
from forebay_schema.documents import DocumentError
from forebay_schema.manifest import Manifest
from forebay_schema.routes import RouteTable

_NUMBERS = ModelSignature("m", 1, 8, (TensorSignature("x", DATATYPES["FP32"], (-1,)),), ())
_TEXTS = ModelSignature("m", 1, 0, (TensorSignature("x", BYTES, (-1, -1)),), ())
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class Target:
    """`refusals` are how the parser says no; any other exception is a fault of ours."""

    name: str
    parse: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "replace"))


def _http2(data: bytes) -> None:
    Http2Connection().receive(PREFACE + data)


def _chunks(data: bytes) -> None:
    decoder = ChunkDecoder(_MOST_BYTES)
    while data and not decoder.done:
        taken = decoder.feed(data)
        if not taken:
            return
        data = data[taken:]


def _grpc(data: bytes) -> None:
    description, raws = grpc_wire.split_request(data)
    infer_grpc.target(description)
    plan = infer_grpc.plan(description, _NUMBERS, raw=bool(raws))
    infer_grpc.check_raws(plan, raws, "m")


_HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"
_JSON = b'{"id":"1","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[[1.5,-2e3]]}],"outputs":[{"name":"y"}]}'
_BINARY = b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[1,1],"parameters":{"binary_data_size":8}}]}'
_SHORT = b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[1,2],"data":["a","\\u00e4"]}]}'
_RPC = b"\n\x01m\x12\x011*\x10\n\x01x\x12\x04FP32\x1a\x02\x01\x02:\x08" + np.ones(2, np.float32).tobytes()
_FRAMES = (
    b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x01\x00"
    b"\x00\x00\x05\x01\x05\x00\x00\x00\x01\x82\x84\x86A\x00\x00\x00\x02\x00\x01\x00\x00\x00\x01hi"
)
_PAGE = (
    b'nv_inference_pending_request_count{model="m",version="1"} 3\nforebay_model_info{model="m",version="1",digest="d"} 1\n'
)
_INDEX = b'[{"name":"m","version":"1","state":"READY"},{"name":"n","version":"1","state":"UNAVAILABLE","reason":"x"}]'
_DEPLOYMENT = (
    b"apiVersion: forebay.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: m}\nspec:\n  model:\n    source:"
    b' {uri: "s3://a/b.onnx"}\n  replicas: 2\n  autoscaling: {scaleDownDelay: 60s}\n'
)
_CONFIG = b'name: "m" max_batch_size: 8 input [{ name: "x" data_type: TYPE_FP32 dims: [2] }] dynamic_batching {}'


def _document(name: str, **fields: object) -> bytes:
    return json.dumps({"schema": f"forebay.dev/{name}/v1", **fields}).encode()


_ROUTES = _document("route-table", models=[{"name": "m", "namespace": "n"}])

TARGETS = (
    Target("http-head", http_head.parse, (HttpSyntaxError,), (_HEAD, _HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n")),
    Target("http-chunks", _chunks, (ChunkError, BodyTooLargeError), (b"3;x=y\r\nabc\r\n0\r\n\r\n", b"ffff\r\n")),
    Target("http-routes", _text(http_routes.match), (), (b"/v2/models/m/versions/1/infer", b"/v2/models/stats")),
    Target(
        "http-coding",
        lambda data: compression.decompress(memoryview(data), "gzip", _MOST_BYTES),
        (RequestError,),
        (b"\x1f\x8b",),
    ),
    Target("infer-json", lambda data: infer_json.plan(data, _NUMBERS), (RequestError,), (_JSON, _SHORT)),
    Target("infer-json-text", lambda data: infer_json.plan(data, _TEXTS), (RequestError,), (_SHORT, _BINARY)),
    Target("orders", infer_json.parse_parameters, (RequestError,), (b'{"parameters":{"config":"{}"}}',)),
    Target("infer-grpc", _grpc, (RequestError,), (_RPC,)),
    Target(
        "byte-strings",
        lambda data: byte_strings.unpack(memoryview(data), 2, "x"),
        (RequestError,),
        (b"\x01\x00\x00\x00a\x00\x00\x00\x00",),
    ),
    Target("versions", _text(version_of), (RequestError,), (b"1", b"9223372036854775808")),
    Target("model-config", _text(model_config.from_text), (ConfigError,), (_CONFIG,)),
    Target(
        "model-config-json", _text(model_config.from_json), (ConfigError,), (b'{"max_batch_size":8,"input":[{"name":"x"}]}',)
    ),
    Target("devices", _text(parse_device), (DeviceSpecError,), (b"simulated:16Gi,pace=20ms+5ms", b"gpu:1")),
    Target("sizes", _text(parse_size), (DeviceSpecError,), (b"16Gi", b"1.5M")),
    Target("holder-http1", http1.parse_head, (ProtocolError,), (_HEAD,)),
    Target("holder-frames", lambda data: list(take_frames(bytearray(data))), (FrameError,), (_FRAMES,)),
    Target("holder-http2", _http2, (ProtocolError,), (_FRAMES,)),
    Target("holder-grpc", grpc_messages.first_string, (), (b"\x00\x00\x00\x00\x03\n\x01m",)),
    Target("envoy-statistics", _text(parse_statistics), (), (b"a.b: 3\nc: No recorded values\n",)),
    Target("routes", RouteTable.from_json, (DocumentError,), (_ROUTES,)),
    Target("demand", DemandLine.from_json, (DocumentError,), (_document("demand", gateway="g", sequence=1),)),
    Target("manifest", Manifest.from_json, (DocumentError,), (_document("manifest", format="onnx", files=[]),)),
    Target("order", ConversionOrder.from_json, (DocumentError,), (_document("conversion-order", store="s"),)),
    Target("authorities", _text(address_of_authority), (), (b"m.default.svc.cluster.local:8000",)),
    Target("metrics-page", lambda page: PageReader().read(_INDEX, page), (ValueError,), (_PAGE,)),
    Target("index-page", lambda page: PageReader().read(page, _PAGE), (ValueError,), (_INDEX,)),
    Target("deployments", _text(loading.load_text), (), (_DEPLOYMENT,)),
    Target("quantities", _text(quantities.canonical), (), (b"1024Mi", b"1000m")),
    Target("whole-quantities", _text(quantities.whole), (), (b"1.5Gi",)),
    Target("pools", _text(pool.pool_of), (), (b"{}", b'{"device":"gpu"}')),
    Target("onnx", lambda data: graphs.parse(data, "m.onnx"), (RefusalError,), (b"\x08\x08:7\n\x10\n\x01x\x12\x01y",)),
    Target("verifier-report", _text(read_report), (ConversionError,), (b'{"passed": true}',)),
)
