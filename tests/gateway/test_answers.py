"""What the gateway answers itself, as Triton's own clients see it."""

from collections.abc import Callable, Generator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from forebay_schema.routes import Route
from gateway_clients import INFER, ask, routed, tensor, triton
from gateway_processes import Backend, GatewayProcess

STOPPED = Route(namespace="default", name="stopped", state="stopped", reason="spec.stopped is true")
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.fixture(autouse=True)
def routes(gateway: GatewayProcess, backend: Backend) -> None:
    gateway.route(routed("asleep"), routed("awake", backend.endpoint), STOPPED)


@pytest.fixture
def http(gateway: GatewayProcess) -> Generator[Any]:
    client = triton_http.InferenceServerClient(gateway.http)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def asleep(gateway: GatewayProcess) -> Generator[Any]:
    with triton(gateway, "asleep.default") as client:
        yield client


def nothing_was_woken(gateway: GatewayProcess) -> bool:
    return all(model.name != "asleep" for model in next(gateway.demand_lines()).models)


def test_health_is_good_with_no_replica_and_wakes_nothing(gateway: GatewayProcess, http: Any, asleep: Any) -> None:
    for client in (http, asleep):
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("asleep")
        assert client.is_model_ready("asleep", "3")
    assert nothing_was_woken(gateway)


def test_health_checks_of_grpc_are_answered(gateway: GatewayProcess) -> None:
    channel: Any = grpc.insecure_channel(gateway.grpc)
    with channel:
        assert channel.unary_unary(HEALTH)(b"", timeout=30) == b"\x08\x01"


def test_server_metadata_is_the_gateway_s_own(gateway: GatewayProcess, http: Any, asleep: Any) -> None:
    assert http.get_server_metadata()["name"] == "forebay"
    assert asleep.get_server_metadata(as_json=True) == http.get_server_metadata()
    assert nothing_was_woken(gateway)


def test_triton_s_http_client_infers_by_the_path_alone(http: Any) -> None:
    values = triton_http.InferInput("IN", [4], "FP32")
    values.set_data_from_numpy(np.zeros(4, np.float32))
    assert http.infer("awake", [values]).as_numpy("OUT").tolist() == [7]


def test_a_stopped_model_is_not_ready_and_refused_with_the_reason(gateway: GatewayProcess, http: Any) -> None:
    assert not http.is_model_ready("stopped")
    reply = ask(gateway, INFER.format("stopped"), b"{}")
    assert (reply.status, reply.error) == (503, "model 'stopped' is stopped: spec.stopped is true")
    with triton(gateway, "stopped.default") as client:
        assert not client.is_model_ready("stopped")
        with pytest.raises(InferenceServerException, match="model 'stopped' is stopped") as refused:
            client.infer("stopped", [tensor()])
    assert refused.value.status() == "StatusCode.UNAVAILABLE"


def test_an_unknown_model_is_not_found_in_triton_s_words(gateway: GatewayProcess, http: Any) -> None:
    text = "Request for unknown model: 'unknown' is not found"
    assert (ask(gateway, INFER.format("unknown"), b"{}").status, ask(gateway, INFER.format("unknown"), b"{}").error) == (
        404,
        text,
    )
    assert ask(gateway, INFER.format("unknown"), b"{}", host="unknown.team-a").error == text
    assert not http.is_model_ready("unknown")
    with triton(gateway, "unknown.default") as client:
        with pytest.raises(InferenceServerException, match=text) as infer:
            client.infer("unknown", [tensor()])
        with pytest.raises(InferenceServerException, match=text) as ready:
            client.is_model_ready("unknown")
    assert {infer.value.status(), ready.value.status()} == {"StatusCode.NOT_FOUND"}


def test_another_model_than_the_host_names_is_refused(gateway: GatewayProcess, backend: Backend) -> None:
    reply = ask(gateway, INFER.format("awake"), b"{}", host="asleep.default")
    assert reply.status == 400
    assert reply.error.startswith("the request names model 'awake', its host names 'asleep' in namespace 'default'")
    assert backend.seen() == []


def test_another_model_s_readiness_under_this_host_is_refused(asleep: Any) -> None:
    with pytest.raises(InferenceServerException, match="the request names model 'awake'") as refused:
        asleep.is_model_ready("awake")
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_inference_by_grpc_without_a_host_says_how_to_name_the_model(gateway: GatewayProcess) -> None:
    with triton(gateway, gateway.grpc) as client, pytest.raises(InferenceServerException) as refused:
        client.infer("awake", [tensor()])
    assert "grpc.default_authority=NAME.NAMESPACE" in str(refused.value.message())


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.load_model("asleep"),
        lambda client: client.unload_model("asleep"),
        lambda client: client.get_model_repository_index(),
        lambda client: client.get_system_shared_memory_status(),
        lambda client: client.register_cuda_shared_memory("x", b"", 0, 1),
        lambda client: client.get_trace_settings("asleep"),
        lambda client: client.update_log_settings({"log_info": False}),
    ],
    ids=["load", "unload", "index", "shared memory", "cuda memory", "trace", "log"],
)
def test_control_of_servers_is_refused(http: Any, asleep: Any, call: Callable[[Any], object]) -> None:
    for client, status in ((http, "403"), (asleep, "StatusCode.UNAVAILABLE")):
        with pytest.raises(InferenceServerException, match="This API is restricted") as refused:
            call(client)
        assert refused.value.status() == status


def test_what_is_no_part_of_the_protocol_is_not_found(gateway: GatewayProcess) -> None:
    for path in ("/", "/metrics", "/v2/models", "/v2/models/awake/infer/more", "/backend/seen"):
        reply = ask(gateway, path)
        assert (reply.status, reply.json) == (404, {"error": "Not Found"})


def test_head_is_no_verb_of_the_protocol(gateway: GatewayProcess) -> None:
    reply = ask(gateway, "/v2/models/awake/ready", method="HEAD")
    assert (reply.status, reply.body) == (405, b"")


def test_a_path_with_escaped_slashes_is_refused(gateway: GatewayProcess) -> None:
    assert ask(gateway, "/v2/models/awake%2Finfer", b"{}").status == 400


def test_too_many_bytes_of_headers_are_refused(gateway: GatewayProcess) -> None:
    assert ask(gateway, INFER.format("awake"), b"{}", headers={"x": "y" * 70_000}).status == 431


@pytest.mark.parametrize("host", ["awake.default", "awake.default.svc", "awake.default.svc.cluster.local:8000", ""])
def test_a_model_is_found_by_its_host_and_by_its_path(gateway: GatewayProcess, host: str) -> None:
    assert ask(gateway, INFER.format("awake"), b"{}", host=host).json["model_name"] == "awake"
