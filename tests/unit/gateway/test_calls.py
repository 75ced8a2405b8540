import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.holder.answers import NO_AUTHORITY, NO_SUCH_PATH, READY, RESTRICTED, WRONG_VERB, Answer
from forebay_gateway.holder.calls import ModelCall, NamedReadyCall, ReadyCall, RequestHead, grpc_call, http_call
from forebay_schema.addresses import ModelAddress
from gateway_vectors import VECTORS, Vector

DIGITS = ModelAddress(namespace="team-a", name="digits")
RPC = "/inference.GRPCInferenceService/"


def head(path: str, authority: str = "", method: str = "POST") -> RequestHead:
    return RequestHead(method=method, path=path, authority=authority, headers={}, ended=False)


def cluster_of(vector: Vector) -> str:
    """The cluster that the Python parser would choose, by the names that the Lua script uses."""
    request = head(vector.path, vector.authority)
    call = grpc_call(request) if vector.grpc else http_call(request, "default")
    if isinstance(call, ModelCall):
        return f"{'g' if vector.grpc else 'h'}/{call.address}"
    return "holder-grpc" if vector.grpc else "holder-http"


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_a_request_is_answered_where_the_vectors_say(vector: Vector) -> None:
    assert cluster_of(vector) == vector.cluster


def test_a_path_that_names_another_model_than_the_host_is_refused_with_both_names() -> None:
    refusal = http_call(head("/v2/models/other/infer", "digits.team-a"), "default")
    assert isinstance(refusal, Answer)
    assert refusal.status == 400
    assert "'other'" in refusal.error
    assert "'digits' in namespace 'team-a'" in refusal.error
    assert "use the host other.team-a" in refusal.error


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v2/models/digits/ready", ReadyCall(ModelAddress("default", "digits"))),
        ("POST", "/v2/models/digits/ready", WRONG_VERB),
        ("POST", "/v2/health/ready", WRONG_VERB),
        ("GET", "/v2/models/stats", NO_SUCH_PATH),
        ("GET", "/metrics", NO_SUCH_PATH),
        ("POST", "/v2/repository/index", RESTRICTED),
        ("POST", "/v2/repository/models/digits/unload", RESTRICTED),
        ("GET", "/v2/systemsharedmemory/status", RESTRICTED),
        ("POST", "/v2/cudasharedmemory/region/x/register", RESTRICTED),
        ("GET", "/v2/logging", RESTRICTED),
        ("GET", "/v2/trace/setting", RESTRICTED),
        ("POST", "/v2/models/digits/trace/setting", RESTRICTED),
    ],
)
def test_what_no_replica_answers_by_http_has_its_answer(method: str, path: str, expected: object) -> None:
    assert http_call(head(path, "10.0.0.1", method), "default") == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (f"{RPC}ServerLive", READY),
        (f"{RPC}ServerReady", READY),
        ("/grpc.health.v1.Health/Check", READY),
        (f"{RPC}ModelReady", NamedReadyCall(None)),
        (f"{RPC}ModelInfer", NO_AUTHORITY),
        (f"{RPC}RepositoryIndex", RESTRICTED),
        (f"{RPC}CudaSharedMemoryStatus", RESTRICTED),
        (f"{RPC}LogSettings", RESTRICTED),
        (f"{RPC}Other", NO_SUCH_PATH),
        ("/grpc.health.v1.Health/Watch", NO_SUCH_PATH),
    ],
)
def test_what_no_replica_answers_by_grpc_has_its_answer(method: str, expected: object) -> None:
    assert grpc_call(head(method, "10.0.0.1:8001")) == expected


def test_server_metadata_is_the_gateway_s_in_both_protocols() -> None:
    by_http, by_grpc = http_call(head("/v2", method="GET"), "default"), grpc_call(head(f"{RPC}ServerMetadata"))
    assert isinstance(by_http, Answer)
    assert isinstance(by_grpc, Answer)
    assert b'"name": "forebay"' in by_http.http_body()
    assert by_grpc.message
    assert by_grpc.message.startswith(b"\x0a\x07forebay")


def test_a_ready_call_by_grpc_is_for_the_model_that_the_message_names() -> None:
    assert NamedReadyCall(None).resolve("x", "default") == ReadyCall(ModelAddress("default", "x"))
    assert NamedReadyCall(DIGITS).resolve("digits", "default") == ReadyCall(DIGITS)
    refusal = NamedReadyCall(DIGITS).resolve("other", "default")
    assert isinstance(refusal, Answer)
    assert refusal.status == 400


@given(path=st.text(), authority=st.text())
def test_no_request_breaks_the_parser(path: str, authority: str) -> None:
    assert http_call(head(path, authority), "default")
    assert grpc_call(head(path, authority))
