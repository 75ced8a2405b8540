"""A gateway that is asked to end: what clients have begun is answered first."""

import json
import signal
import socket
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from tritonclient.utils import InferenceServerException

from forebay_gateway.envoy.process import start_time
from free_ports import free_port
from gateway_clients import INFER, Reply, ask, at_once, connection, results, routed, tensor, triton
from gateway_processes import PATIENCE_S, Backend, GatewayProcess, eventually


def infer(gateway: GatewayProcess, name: str) -> Reply:
    return ask(gateway, INFER.format(name), b"{}")


@contextmanager
def draining(backend: Backend, *options: str) -> Generator[GatewayProcess]:
    """A gateway with a model that is served and one that is not, started with these options."""
    with GatewayProcess.prepared() as gateway:
        gateway.write(routed("awake", backend.endpoint), routed("asleep"))
        gateway.start(*options)
        gateway.wait_until_ready()
        yield gateway


def refusal(client: Any) -> str:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("asleep", [tensor()])
    return str(refused.value.message())


def ask_to_end(gateway: GatewayProcess) -> None:
    assert gateway.process
    gateway.process.send_signal(signal.SIGTERM)
    eventually("another health", lambda: gateway.page("/healthz")[0] == 503)


def end_of(gateway: GatewayProcess) -> int:
    assert gateway.process
    return gateway.process.wait(2 * PATIENCE_S)


def test_what_is_there_is_answered_and_a_client_that_comes_all_the_same_is_sent_on(backend: Backend) -> None:
    with (
        draining(backend, f"--drain-seconds={10 * PATIENCE_S}") as gateway,
        triton(gateway, "asleep.default") as client,
        at_once(2, lambda _: infer(gateway, "asleep")) as by_http,
        at_once(2, lambda _: client.infer("asleep", [tensor()])) as by_grpc,
    ):
        gateway.wait_until_held("asleep", 4)
        envoy = gateway.envoy_pid
        ask_to_end(gateway)
        late = infer(gateway, "awake")
        assert (late.status, late.headers["connection"]) == (200, "close")
        # A replica becomes ready meanwhile: held requests are let go as ever.
        gateway.route(routed("awake", backend.endpoint), routed("asleep", backend.endpoint))
        assert {reply.status for reply in results(by_http)} == {200}
        assert {result.get_response().id for result in results(by_grpc)} == {"one"}
        assert end_of(gateway) == 0
        assert start_time(envoy) is None


def test_a_request_that_a_replica_works_on_is_answered(backend: Backend) -> None:
    backend.mode(delay_s=10 * PATIENCE_S)
    with (
        draining(backend, f"--drain-seconds={10 * PATIENCE_S}") as gateway,
        at_once(2, lambda _: infer(gateway, "awake")) as calls,
    ):
        gateway.demand("awake", lambda model: model.in_flight == 2)
        ask_to_end(gateway)
        backend.mode()
        assert {reply.status for reply in results(calls)} == {200}
        assert end_of(gateway) == 0


def test_what_still_waits_at_the_end_is_told_to_try_again(backend: Backend) -> None:
    with (
        draining(backend, "--drain-seconds=1") as gateway,
        triton(gateway, "asleep.default") as client,
        at_once(2, lambda _: infer(gateway, "asleep")) as by_http,
        at_once(1, lambda _: refusal(client)) as by_grpc,
    ):
        gateway.wait_until_held("asleep", 3)
        assert gateway.terminate() == 0
        said = "model 'asleep' has no ready replica, and this gateway is asked to end: another one takes it"
        assert {(reply.status, reply.headers["retry-after"], reply.error) for reply in results(by_http)} == {(503, "5", said)}
        assert results(by_grpc) == [said]


def test_asked_twice_it_ends_at_once(backend: Backend) -> None:
    with (
        draining(backend, f"--drain-seconds={10 * PATIENCE_S}") as gateway,
        at_once(1, lambda _: infer(gateway, "asleep")) as calls,
    ):
        gateway.wait_until_held("asleep", 1)
        ask_to_end(gateway)
        assert gateway.terminate() == 0
        assert results(calls)[0].status == 503


def test_an_idle_connection_does_not_keep_it(backend: Backend) -> None:
    with draining(backend, f"--drain-seconds={10 * PATIENCE_S}") as gateway, connection(gateway) as client:
        client.request("GET", "/v2/health/ready")
        assert client.getresponse().read() == b""
        assert gateway.terminate() == 0


def test_the_control_pages_are_served_by_tcp_as_well(backend: Backend) -> None:
    with draining(backend, "--control-address=127.0.0.1:0") as gateway:
        address = gateway.ready()["control"]
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=PATIENCE_S) as answer:
            assert answer.read() == b"ok\n"
        with urllib.request.urlopen(f"http://{address}/demand?x", timeout=PATIENCE_S) as answer:
            assert json.loads(answer.readline())["schema"] == "forebay.dev/demand/v1"
            assert gateway.terminate() == 0


def test_a_control_address_in_use_is_named(backend: Backend) -> None:
    port = free_port()
    with GatewayProcess.prepared() as gateway, socket.create_server(("127.0.0.1", port)):
        gateway.write(routed("awake", backend.endpoint))
        gateway.start(f"--control-address=127.0.0.1:{port}")
        assert end_of(gateway) == 1
        assert f"the control address 127.0.0.1:{port} cannot be used: " in gateway.log()
