"""What a request that reaches the holder asks for. The holder parses host and path itself: a client's word is not taken.

The rules are those of xds/route.lua; tests hold both to the same vectors.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from forebay_gateway.holder.answers import (
    NO_AUTHORITY,
    NO_SUCH_PATH,
    READY,
    RESTRICTED,
    WRONG_VERB,
    Answer,
    other_model,
    server_metadata,
)
from forebay_schema.addresses import ModelAddress, address_of_authority

_MODEL_CALL: Final = re.compile(
    r"/v2/models/(?!stats(?:/|$))(?P<name>[^/]+)(?:/versions/[0-9]+)?(?:/(?P<call>infer|generate|generate_stream|config|stats|ready))?"
)
_RESTRICTED_PATH: Final = re.compile(
    r"/v2/(?:repository|systemsharedmemory|cudasharedmemory|logging|trace|models/[^/]+/trace)(?:/.*)?"
)
_GRPC_METHOD: Final = re.compile(r"/inference\.GRPCInferenceService/(?P<method>[A-Za-z]+)")
_GRPC_HEALTH: Final = "/grpc.health.v1.Health/Check"
_GRPC_CALLS: Final = frozenset({"ModelInfer", "ModelStreamInfer", "ModelMetadata", "ModelConfig", "ModelStatistics"})
_GRPC_RESTRICTED: Final = re.compile(r"Repository\w+|SystemSharedMemory\w+|CudaSharedMemory\w+|TraceSetting|LogSettings")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request without its body. Header names are in lower case; `ended`: there is no body."""

    method: str
    path: str
    authority: str
    headers: Mapping[str, str]
    ended: bool


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A request that a replica answers; it wakes the model and waits."""

    address: ModelAddress


@dataclass(frozen=True, slots=True)
class ReadyCall:
    """Is the model ready? Answered without waking it."""

    address: ModelAddress


@dataclass(frozen=True, slots=True)
class NamedReadyCall:
    """The same by gRPC: the message names the model, which must be the host's if the host names one."""

    host: ModelAddress | None

    def resolve(self, name: str, default_namespace: str) -> ReadyCall | Answer:
        if self.host is None:
            return ReadyCall(ModelAddress(namespace=default_namespace, name=name))
        return ReadyCall(self.host) if name == self.host.name else other_model(name, self.host)


Call = ModelCall | ReadyCall | NamedReadyCall | Answer


def http_call(head: RequestHead, default_namespace: str) -> Call:
    path = re.split(r"[?#]", head.path, maxsplit=1)[0]
    match = _MODEL_CALL.fullmatch(path)
    if match is None:
        return _http_answer(head, path)
    host = address_of_authority(head.authority)
    name = match["name"]
    if host and host.name != name:
        return other_model(name, host)
    address = host or ModelAddress(namespace=default_namespace, name=name)
    if match["call"] != "ready":
        return ModelCall(address)
    return ReadyCall(address) if head.method == "GET" else WRONG_VERB


def grpc_call(head: RequestHead) -> Call:
    match = _GRPC_METHOD.fullmatch(head.path)
    method = match["method"] if match else ""
    if head.path == _GRPC_HEALTH or method in {"ServerLive", "ServerReady"}:
        return READY
    if method == "ServerMetadata":
        return server_metadata()
    if _GRPC_RESTRICTED.fullmatch(method):
        return RESTRICTED
    host = address_of_authority(head.authority)
    if method == "ModelReady":
        return NamedReadyCall(host)
    if method in _GRPC_CALLS:
        return ModelCall(host) if host else NO_AUTHORITY
    return NO_SUCH_PATH


def _http_answer(head: RequestHead, path: str) -> Answer:
    if _RESTRICTED_PATH.fullmatch(path):
        return RESTRICTED
    if path in {"/v2", "/v2/"}:
        return server_metadata() if head.method == "GET" else WRONG_VERB
    return WRONG_VERB if path in {"/v2/health/live", "/v2/health/ready"} else NO_SUCH_PATH
