"""Traffic to ready replicas: balance, versions, rollouts, retries."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from itertools import count

import pytest

from forebay_schema import headers
from forebay_schema.routes import Endpoint, Route, WeightedVersion
from gateway_clients import INFER, PLENTY, Reply, ask, at_once, results, routed, tensor, triton
from gateway_processes import Backend, GatewayProcess, eventually

NAMES = (f"busy-{number}" for number in count())


@pytest.fixture
def name() -> str:
    return next(NAMES)


def infer(gateway: GatewayProcess, name: str, number: int = 0, fields: Mapping[str, str] | None = None) -> Reply:
    return ask(gateway, INFER.format(name), b"{}", headers={"x-test-id": str(number), **(fields or {})})


def rollout(name: str, *versions: tuple[int, int, Endpoint]) -> Route:
    """A model whose versions have (number, weight, endpoint)."""
    weighted = tuple(WeightedVersion(version=number, weight=weight, endpoints=(at,)) for number, weight, at in versions)
    return Route(namespace="default", name=name, state="routed", versions=weighted, hold=PLENTY)


@contextmanager
def under_load(call: Callable[[int], object]) -> Generator[list[object]]:
    """Keep calling in four threads while the block runs; what the calls returned is complete behind it."""
    outcomes: list[object] = []
    numbers, over = count(), threading.Event()

    def keep_calling(_: int) -> None:
        while not over.is_set():
            outcomes.append(call(next(numbers)))

    with at_once(4, keep_calling) as threads:
        try:
            eventually("load", lambda: len(outcomes) > 10)
            yield outcomes
        finally:
            over.set()
        results(threads)


def test_two_replicas_share_the_requests(gateway: GatewayProcess, backends: tuple[Backend, Backend], name: str) -> None:
    one, two = backends
    for backend in backends:
        backend.mode(delay_s=0.02)
    gateway.route(routed(name, one.endpoint, two.endpoint))
    with triton(gateway, f"{name}.default") as client, at_once(8, lambda number: infer(gateway, name, number)) as by_http:
        with at_once(8, lambda _: [client.infer(name, [tensor()]) for _ in range(10)]) as by_grpc:
            results(by_grpc)
        results(by_http)
    assert min(len(one.seen()), len(two.seen())) > 20, "of 88"


def test_the_version_reaches_the_server_and_a_forged_one_does_not(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    gateway.route(routed(name, backend.endpoint, version=7))
    forged = {headers.VERSION: "99", headers.MODEL: "other"}
    assert infer(gateway, name, fields=forged).json["model_version"] == "7"
    with triton(gateway, f"{name}.default") as client:
        client.infer(name, [tensor()], headers=forged)
    assert {(seen["protocol"], seen["model"], seen["version"]) for seen in backend.seen()} == {
        ("http", name, "7"),
        ("grpc", name, "7"),
    }


def test_a_version_on_the_same_server_takes_over_at_once_and_loses_nothing(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    gateway.route(routed(name, backend.endpoint, version=1))
    with under_load(lambda number: infer(gateway, name, number).json["model_version"]) as outcomes:
        for version in range(2, 8):
            gateway.route(routed(name, backend.endpoint, version=version))
            # Envoy has acknowledged it: from here on nothing else is answered.
            assert infer(gateway, name).json["model_version"] == str(version)
    assert set(outcomes) <= {str(version) for version in range(1, 8)}


def test_a_rollout_begins_moves_and_ends_without_a_failure(
    gateway: GatewayProcess, backends: tuple[Backend, Backend], name: str
) -> None:
    one, two = (backend.endpoint for backend in backends)
    gateway.route(routed(name, one, version=1))
    with under_load(lambda number: infer(gateway, name, number).status) as statuses:
        for weight in (10, 90):
            # The second version on the same server as the first, then on another.
            gateway.route(rollout(name, (1, 100 - weight, one), (2, weight, one)))
            gateway.route(rollout(name, (1, 100 - weight, one), (2, weight, two)))
            versions = Counter(infer(gateway, name).json["model_version"] for _ in range(20))
            assert set(versions) <= {"1", "2"}
        gateway.route(routed(name, two, version=2))
        assert {infer(gateway, name).json["model_version"] for _ in range(20)} == {"2"}
    assert set(statuses) == {200}


def test_weights_divide_the_requests(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(rollout(name, (1, 75, backend.endpoint), (2, 25, backend.endpoint)))
    with triton(gateway, f"{name}.default") as client:
        versions = Counter(client.infer(name, [tensor()]).get_response().model_version for _ in range(400))
    # Expected 100, standard deviation 8.7.
    assert 45 < versions["2"] < 160
    assert versions["1"] + versions["2"] == 400


def test_requests_held_before_a_rollout_are_answered_by_it(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    with at_once(4, lambda number: infer(gateway, name, number)) as calls:
        gateway.wait_until_held(name, 4)
        gateway.write(rollout(name, (1, 20, backend.endpoint), (2, 80, backend.endpoint)))
        assert {reply.json["model_version"] for reply in results(calls)} == {"2"}


def test_a_request_that_a_server_sends_elsewhere_is_answered_elsewhere(
    gateway: GatewayProcess, backends: tuple[Backend, Backend], name: str
) -> None:
    one, two = backends
    one.mode(retry=True)
    gateway.route(routed(name, one.endpoint, two.endpoint))
    with triton(gateway, f"{name}.default") as client, at_once(20, lambda number: infer(gateway, name, number)) as calls:
        assert {client.infer(name, [tensor()]).get_response().id for _ in range(20)} == {"two"}
        assert {reply.json["id"] for reply in results(calls)} == {"two"}
    assert one.seen() == []


def test_a_request_that_all_servers_send_elsewhere_waits_until_one_has_room(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    backend.mode(retry=True)
    gateway.route(routed(name, backend.endpoint))
    with (
        triton(gateway, f"{name}.default") as client,
        at_once(4, lambda number: infer(gateway, name, number)) as by_http,
        at_once(4, lambda _: client.infer(name, [tensor()])) as by_grpc,
    ):
        gateway.demand(name, lambda model: model.held > 0)
        backend.mode()
        assert {reply.status for reply in results(by_http)} == {200}
        results(by_grpc)
    assert len(backend.seen()) == 8
    assert all(headers.RETRY not in reply.headers for reply in results(by_http))


def test_requests_wait_while_the_only_replica_is_dead(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    with Backend.running("doomed") as doomed:
        gateway.route(routed(name, doomed.endpoint))
        assert infer(gateway, name).status == 200
        os.kill(doomed.process.pid, signal.SIGKILL)
        doomed.process.wait()
    # Envoy still believes in the replica: requests bounce between it and the holder.
    with at_once(10, lambda number: infer(gateway, name, number)) as calls:
        gateway.demand(name, lambda model: model.held > 0)
        gateway.write(routed(name, backend.endpoint))
        assert {reply.json["id"] for reply in results(calls)} == {"one"}


def test_the_death_of_one_of_two_replicas_loses_only_what_it_was_working_on(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    backend.mode(delay_s=0.01)
    with Backend.running("doomed") as doomed:
        doomed.mode(delay_s=0.01)
        gateway.route(routed(name, backend.endpoint, doomed.endpoint))
        with under_load(lambda number: infer(gateway, name, number).status) as statuses:
            os.kill(doomed.process.pid, signal.SIGKILL)
            doomed.process.wait()
            after = len(statuses) + 100
            eventually("answers after the death", lambda: len(statuses) > after)
    # Four threads: at most four requests were at the dead replica, or in a connection to it whose end was not noticed yet.
    assert statuses.count(200) >= len(statuses) - 8
    assert set(statuses[-50:]) == {200}


def test_a_replica_is_drained_without_a_failure(gateway: GatewayProcess, backends: tuple[Backend, Backend], name: str) -> None:
    one, two = backends
    for backend in backends:
        backend.mode(delay_s=0.02)
    gateway.route(routed(name, one.endpoint, two.endpoint))
    with under_load(lambda number: infer(gateway, name, number).status) as statuses:
        gateway.route(routed(name, two.endpoint))
        # What Envoy had sent before is answered; nothing more comes.
        assert {infer(gateway, name).json["id"] for _ in range(30)} == {"two"}
    assert set(statuses) == {200}
