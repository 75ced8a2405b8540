"""Requests for a model with no ready replica, through a real Envoy."""

import asyncio
import threading
from contextlib import ExitStack
from itertools import count
from typing import Any

import grpc
import pytest
from tritonclient.utils import InferenceServerException

from forebay_schema import headers
from forebay_schema.routes import HoldLimits, Route
from gateway_clients import INFER, ask, at_once, connection, reset, results, routed, tensor, triton
from gateway_processes import PATIENCE_S, Backend, GatewayProcess

LARGE = b"x" * 600_000
FLAPS = 10
NAMES = (f"held-{number}" for number in count())
"""A model per test: what one leaves behind does not disturb the next."""


@pytest.fixture
def name() -> str:
    return next(NAMES)


def test_held_http_requests_are_answered_once_a_replica_is_ready(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    with at_once(50, lambda number: ask(gateway, INFER.format(name), LARGE, headers={"x-test-id": str(number)})) as calls:
        gateway.wait_until_held(name, 50)
        gateway.write(routed(name, backend.endpoint))
        assert {reply.status for reply in results(calls)} == {200}
    assert sorted(int(seen["id"]) for seen in backend.seen()) == list(range(50)), "each was executed once"
    assert {seen["size"] for seen in backend.seen()} == {len(LARGE)}


def test_held_grpc_requests_are_answered_once_a_replica_is_ready(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    with triton(gateway, f"{name}.default") as client, at_once(30, lambda _: client.infer(name, [tensor(150_000)])) as calls:
        gateway.wait_until_held(name, 30)
        gateway.write(routed(name, backend.endpoint, version=4))
        answers = [result.get_response() for result in results(calls)]
    assert {(answer.model_name, answer.model_version) for answer in answers} == {(name, "4")}
    assert len(backend.seen()) == 30


def test_a_held_stream_goes_on_at_the_replica(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    answers: list[Any] = []
    with triton(gateway, f"{name}.default") as client:
        client.start_stream(lambda result, error: answers.append(error or result.get_response().id))
        client.async_stream_infer(name, [tensor()])
        gateway.wait_until_held(name, 1)
        gateway.write(routed(name, backend.endpoint))
        client.async_stream_infer(name, [tensor()])
        client.stop_stream()
    assert answers == ["one", "one"]


def test_a_model_that_only_a_path_can_name_is_served_next_to_an_entry_that_nobody_can_name(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    model, bad = f"{name}_Onnx.v8", routed(f"{name}/bad")
    gateway.route(routed(model), bad)
    with at_once(1, lambda _: ask(gateway, INFER.format(model), b"{}")) as calls:
        gateway.wait_until_held(model, 1)
        gateway.write(routed(model, backend.endpoint), bad)
        assert results(calls)[0].status == 200
    gateway.demand(model, lambda demand: demand.held == demand.in_flight == 0 and demand.arrivals == 1)
    assert f"model 'default/{name}/bad' is left out" in gateway.log()


def test_information_about_a_model_wakes_it_and_waits(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    with at_once(1, lambda _: ask(gateway, f"/v2/models/{name}/config")) as calls:
        gateway.wait_until_held(name, 1)
        gateway.write(routed(name, backend.endpoint))
        assert results(calls)[0].json == {"name": name, "server": "one"}


def test_more_requests_than_may_wait_are_refused_with_triton_s_body(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name, hold=HoldLimits(requests=2, seconds=PATIENCE_S)))
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connection(gateway)).request("POST", INFER.format(name), b"{}")
        gateway.wait_until_held(name, 2)
        reply = ask(gateway, INFER.format(name), b"{}")
        with triton(gateway, f"{name}.default") as client, pytest.raises(InferenceServerException) as refused:
            client.infer(name, [tensor()])
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert reply.error == f"model '{name}': 2 requests are waiting for a replica already"
    assert (refused.value.status(), refused.value.message()) == ("StatusCode.UNAVAILABLE", reply.error)


def test_more_bytes_than_may_wait_are_refused(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name, hold=HoldLimits(bytes=1_000_000, seconds=PATIENCE_S)))
    with connection(gateway) as first:
        first.request("POST", INFER.format(name), LARGE)
        gateway.wait_until_held(name, 1)
        assert "1000000 bytes at most" in ask(gateway, INFER.format(name), LARGE).error


def test_a_request_of_unknown_length_is_charged_a_reserve(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name, hold=HoldLimits(bytes=(1 << 20) + 100, seconds=PATIENCE_S)))
    with connection(gateway) as first:
        first.request("POST", INFER.format(name), iter([b"{}"]), encode_chunked=True)
        gateway.wait_until_held(name, 1)
        assert f'forebay_gateway_held_bytes{{namespace="default",model="{name}"}} {1 << 20}' in gateway.page("/metrics")[1]
        assert ask(gateway, INFER.format(name), b"x" * 101).status == 503


def test_a_grpc_request_is_charged_what_its_first_bytes_say(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name, hold=HoldLimits(bytes=3 << 20, seconds=PATIENCE_S)))
    with triton(gateway, f"{name}.default") as client:
        # At the reserve of 1 MiB each, only three could wait.
        with at_once(20, lambda _: client.infer(name, [tensor()])) as calls:
            gateway.wait_until_held(name, 20)
            gateway.write(routed(name, backend.endpoint))
            results(calls)
        gateway.route(routed(name, hold=HoldLimits(bytes=1 << 20, seconds=PATIENCE_S)))
        with pytest.raises(InferenceServerException, match="bytes at most may wait"):
            client.infer(name, [tensor(1 << 19)])


def test_a_request_that_waits_too_long_is_refused(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name, hold=HoldLimits(seconds=0.5)))
    reply = ask(gateway, INFER.format(name), b"{}")
    assert (reply.status, reply.error) == (503, f"model '{name}': no replica became ready within 0.5 s")
    assert headers.RETRY not in reply.headers


@pytest.mark.parametrize("body", [b"", b"{}", LARGE], ids=["empty", "small", "large"])
def test_a_held_client_that_goes_away_no_longer_counts(gateway: GatewayProcess, name: str, body: bytes) -> None:
    gateway.route(routed(name))
    with ExitStack() as stack:
        clients = [stack.enter_context(connection(gateway)) for _ in range(6)]
        for client in clients:
            client.request("POST", INFER.format(name), body)
        gateway.wait_until_held(name, 6)
        for client in clients[:4]:
            reset(client)
        gateway.wait_until_held(name, 2)


def test_a_held_grpc_client_that_gives_up_no_longer_counts(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name))
    with triton(gateway, f"{name}.default") as client:
        calls = [client.async_infer(name, [tensor(150_000)], callback=lambda **_: None) for _ in range(6)]
        gateway.wait_until_held(name, 6)
        for call in calls[:4]:
            call.cancel()
        gateway.wait_until_held(name, 2)


def test_a_model_that_is_stopped_ends_the_waiting(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name))
    with at_once(2, lambda _: ask(gateway, INFER.format(name), b"{}")) as calls:
        gateway.wait_until_held(name, 2)
        gateway.write(Route(namespace="default", name=name, state="stopped", reason="spec.stopped is true"))
        assert {(reply.status, reply.error) for reply in results(calls)} == {
            (503, f"model '{name}' is stopped: spec.stopped is true")
        }


def test_a_model_that_is_deleted_ends_the_waiting(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name))
    with at_once(2, lambda _: ask(gateway, INFER.format(name), b"{}")) as calls:
        gateway.wait_until_held(name, 2)
        gateway.write()
        assert {(reply.status, reply.error) for reply in results(calls)} == {
            (404, f"Request for unknown model: '{name}' is not found")
        }


def test_a_flapping_replica_loses_no_request(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    over = threading.Event()

    def keep_asking(_: int) -> list[int]:
        statuses = list[int]()
        while not over.is_set():
            statuses.append(ask(gateway, INFER.format(name), b"{}").status)
        return statuses

    with at_once(8, keep_asking) as calls:
        with ExitStack() as stack:
            stack.callback(over.set)
            for _ in range(FLAPS):
                gateway.demand(name, lambda model: model.held > 0)
                gateway.route(routed(name, backend.endpoint))
                gateway.route(routed(name))
            gateway.route(routed(name, backend.endpoint))
        statuses = [status for result in results(calls) for status in result]
    assert set(statuses) == {200}
    assert len(backend.seen()) == len(statuses), "each was executed once"
    gateway.demand(name, lambda model: model.held == model.in_flight == 0 and model.arrivals == len(statuses))


async def test_a_mirrored_copy_is_never_held(gateway: GatewayProcess, name: str) -> None:
    await asyncio.to_thread(gateway.route, routed(name))
    answer = await ask_holder(gateway, "hold-h.sock", name, f"{headers.MIRROR}: 1")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"a mirrored copy is not held" in answer


async def test_a_request_for_which_envoy_had_no_cluster_yet_is_not_held(gateway: GatewayProcess, name: str) -> None:
    await asyncio.to_thread(gateway.route, routed(name))
    answer = await ask_holder(gateway, "answer-h.sock", name)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"is being set up" in answer


async def ask_holder(gateway: GatewayProcess, socket: str, name: str, *fields: str) -> bytes:
    """What the holder answers without an Envoy in front of it."""
    reader, writer = await asyncio.open_unix_connection(gateway.run_dir / socket)
    lines = (f"POST {INFER.format(name)} HTTP/1.1", "host: x", "content-length: 0", *fields, "", "")
    writer.write("\r\n".join(lines).encode())
    answer = await reader.readuntil(b'"}')
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_client_cannot_make_its_request_a_mirrored_copy(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    with at_once(1, lambda _: ask(gateway, INFER.format(name), b"{}", headers={headers.MIRROR: "1"})) as calls:
        gateway.wait_until_held(name, 1)
        gateway.write(routed(name, backend.endpoint))
        assert results(calls)[0].status == 200


def test_a_client_s_grpc_deadline_ends_its_waiting(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name))
    with triton(gateway, f"{name}.default") as client, pytest.raises(InferenceServerException) as late:
        client.infer(name, [tensor()], client_timeout=1)
    assert late.value.status() == str(grpc.StatusCode.DEADLINE_EXCEEDED)
    gateway.route(routed(name), routed(f"{name}-next"))
    assert all(model.name != name or model.held == 0 for model in next(gateway.demand_lines()).models)
