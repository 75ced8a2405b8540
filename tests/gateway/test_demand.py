"""The demand stream, as the controller reads it."""

from itertools import count

import pytest

from forebay_schema.demand import ModelDemand
from gateway_clients import INFER, ask, at_once, results, routed, tensor, triton
from gateway_processes import PATIENCE_S, Backend, GatewayProcess, eventually

NAMES = (f"wanted-{number}" for number in count())


@pytest.fixture
def name() -> str:
    return next(NAMES)


def settled(model: ModelDemand) -> bool:
    return model.held == 0 and model.in_flight == 0


def test_lines_come_each_second_with_rising_numbers(gateway: GatewayProcess) -> None:
    lines = gateway.demand_lines()
    first, second, third = next(lines), next(lines), next(lines)
    assert first.sequence < second.sequence < third.sequence
    assert first.gateway == third.gateway != ""


def test_a_held_request_is_told(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name))
    lines = gateway.demand_lines()
    next(lines)
    with triton(gateway, f"{name}.default") as client:
        call = client.async_infer(name, [tensor()], callback=lambda **_: None)
        waiting = next(line for line in lines if any(model.name == name for model in line.models))
        assert [model.held for model in waiting.models if model.name == name] == [1]
        call.cancel()
        gateway.wait_until_held(name, 0)


def test_requests_at_replicas_are_counted_as_in_flight(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name, backend.endpoint))
    backend.mode(delay_s=10 * PATIENCE_S)
    with at_once(3, lambda _: ask(gateway, INFER.format(name), b"{}")) as calls:
        assert gateway.demand(name, lambda model: model.in_flight == 3).held == 0
        backend.mode()
        results(calls)
    gateway.demand(name, settled)


def test_each_request_is_one_arrival_however_often_it_was_tried(
    gateway: GatewayProcess, backends: tuple[Backend, Backend], name: str
) -> None:
    one, two = backends
    gateway.route(routed(name))
    # Held first; then tried at servers that send them elsewhere, at a dead one, at the holder again.
    with at_once(10, lambda _: ask(gateway, INFER.format(name), b"{}")) as held:
        gateway.wait_until_held(name, 10)
        one.mode(retry=True)
        with Backend.running("doomed") as doomed:
            dead = doomed.endpoint
        gateway.write(routed(name, one.endpoint, dead))
        with triton(gateway, f"{name}.default") as client, at_once(10, lambda _: client.infer(name, [tensor()])) as direct:
            gateway.demand(name, lambda model: model.held > 0 and model.arrivals == 20)
            gateway.write(routed(name, one.endpoint, two.endpoint, dead))
            results(held)
            results(direct)
    for _ in range(10):
        assert ask(gateway, INFER.format(name), b"{}").status == 200
    assert gateway.demand(name, lambda model: settled(model) and model.arrivals >= 30).arrivals == 30
    lines = gateway.demand_lines()
    for _ in range(3):
        assert [model.arrivals for model in next(lines).models if model.name == name] == [30]


def test_a_deleted_model_is_no_longer_told_and_counts_from_zero_when_it_comes_back(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    gateway.route(routed(name, backend.endpoint))
    for _ in range(3):
        assert ask(gateway, INFER.format(name), b"{}").status == 200
    gateway.demand(name, lambda model: settled(model) and model.arrivals == 3)
    gateway.route()
    lines = gateway.demand_lines()
    next(line for line in lines if all(model.name != name for model in line.models))
    gateway.route(routed(name, backend.endpoint))
    assert ask(gateway, INFER.format(name), b"{}").status == 200
    assert gateway.demand(name, lambda model: model.arrivals > 0).arrivals == 1


def test_health_checks_are_no_arrivals(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name, backend.endpoint))
    assert ask(gateway, INFER.format(name), b"{}").status == 200
    for _ in range(5):
        assert ask(gateway, f"/v2/models/{name}/ready").status == 200
    lines = gateway.demand_lines()
    gateway.demand(name, lambda model: model.arrivals == 1)
    assert [model.arrivals for _ in range(3) for model in next(lines).models if model.name == name][-1] == 1


def test_the_metrics_tell_of_answers_and_of_waiting(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    with at_once(3, lambda _: ask(gateway, INFER.format(name), b"{}")) as calls:
        gateway.wait_until_held(name, 3)
        gateway.write(routed(name, backend.endpoint))
        results(calls)
    assert ask(gateway, "/nothing").status == 404
    labels = f'{{namespace="default",model="{name}"}}'
    gateway.demand(name, lambda model: model.arrivals == 3)
    eventually("codes", lambda: 'code="4xx"' in gateway.page("/metrics")[1])
    lines = [line for line in gateway.page("/metrics")[1].splitlines() if line[0] != "#"]
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
    assert values[f"forebay_gateway_hold_seconds_count{labels}"] >= 3
    assert values[f"forebay_gateway_arrivals_total{labels}"] == 3
    assert values['forebay_gateway_requests_total{protocol="http",code="2xx"}'] >= 3
    assert values['forebay_gateway_requests_total{protocol="http",code="4xx"}'] >= 1
    assert values["forebay_gateway_routes_old"] == 0
