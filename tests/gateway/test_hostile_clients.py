"""Clients that mean no good: they get an answer that says so, and nobody else notices them."""

import json
from collections.abc import Callable
from itertools import count

import pytest

from forebay_gateway.holder.frames import Frame, FrameType, window_update
from gateway_clients import INFER, ask, at_once, results, routed, tensor, triton
from gateway_processes import Backend, GatewayProcess
from gateway_wire import Http2Client, answer_to, grpc_head, plain, read_answer

NAMES = (f"wanted-{number}" for number in count())
SECOND = b"POST /v2/models/other/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
def name() -> str:
    return next(NAMES)


def head(name: str, *fields: str, target: str = "", host: str = "") -> list[str]:
    return [f"POST {target or INFER.format(name)} HTTP/1.1", f"host: {host or f'{name}.default'}", *fields]


@pytest.mark.parametrize(
    "fields",
    [
        ("content-length: 4", "transfer-encoding: chunked"),
        ("content-length: 2", "content-length: 40"),
        ("content-length: +2",),
        ("content-length: 2, 2",),
        ("transfer-encoding: identity",),
        ("transfer-encoding: chunked, identity",),
        ("transfer-encoding: xchunked",),
        ("transfer-encoding : chunked",),
        ("transfer-encoding: chunked", "transfer-encoding: identity"),
        ("no colon",),
        ("na me: value",),
    ],
    ids=str,
)
def test_a_request_that_two_could_read_differently_is_refused(
    gateway: GatewayProcess, backend: Backend, name: str, fields: tuple[str, ...]
) -> None:
    gateway.route(routed(name, backend.endpoint), routed("other", backend.endpoint))
    status, body = answer_to(gateway.http_port, *head(name, *fields), body=b"0\r\n\r\n" + SECOND)
    assert status in (400, 501)
    assert json.loads(body)["error"]
    assert backend.seen() == []


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        ("/v2/models/{}/../other/infer", "", 400),
        ("/v2/models/{}/%2e%2e/other/infer", "", 400),
        ("http://{}.default/v2/models/other/infer", "other.default", 400),
        ("/v2/models/{}%2finfer", "", 400),
        ("/v2/models/{}%5cinfer", "", 400),
        ("/v2/models/{}%00/infer", "", 400),
        ("/v2/models/{}#/../../other/infer", "", 400),
        ("/v2/models/w\u00e4nted/infer", "", 400),
        ("/v2/models/{}/infer", "w\u00e4nted.default", 400),
        ("/v2/models/%C3%A4/infer", "10.0.0.1", 404),
        ("/v2/models/{}/infer;x", "", 404),
        ("/v2/models/{}/infer/..", "", 404),
        ("/v2//models//{}//infer", "", 200),
        ("http://{}.default/v2/models/{}/infer", "other.default", 200),
    ],
    ids=str,
)
def test_no_trick_with_a_path_reaches_another_model(
    gateway: GatewayProcess, backend: Backend, name: str, *, target: str, host: str, expected: int
) -> None:
    gateway.route(routed(name, backend.endpoint), routed("other", backend.endpoint))
    lines = head(name, "content-length: 2", target=target.replace("{}", name), host=host)
    status, body = answer_to(gateway.http_port, *lines, body=b"{}")
    assert status == expected, body
    assert status == 200 or json.loads(body)["error"]
    assert {seen["model"] for seen in backend.seen()} <= {name}


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        (["POST /v2/models/m/infer HTTP/1.1", "content-length: 0"], 400, "missing_host_header"),
        (["GET /v2/models/m HTTP/1.0", "host: m.default"], 426, "HTTP/1.0 is too old"),
        (
            ["GET /v2/models/m HTTP/1.1", "host: m.default", "connection: upgrade", "upgrade: websocket"],
            403,
            "no other protocol",
        ),
        (["GET /v2/models/m HTTP/1.1", "host: m.default", *(f"x{n}: y" for n in range(250))], 431, "60 KiB and 200 headers"),
        (["CONNECT m.default:80 HTTP/1.1", "host: m.default:80"], 404, "Not Found"),
        (["FOO /v2/models/m HTTP/1.1", "host: m.default"], 400, "no HTTP request"),
    ],
    ids=["no host", "old", "upgrade", "many headers", "connect", "verb"],
)
def test_what_envoy_refuses_has_a_reason(gateway: GatewayProcess, lines: list[str], status: int, said: str) -> None:
    got, body = answer_to(gateway.http_port, *lines)
    assert got == status
    assert said in json.loads(body)["error"]


def test_what_only_envoy_may_say_of_a_held_request_is_not_taken_from_its_client(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    forged = {
        **{"x-envoy-max-retries": "0", "x-envoy-retry-on": "5xx", "x-envoy-attempt-count": "39"},
        **{"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-upstream-rq-per-try-timeout-ms": "1"},
        **{"x-forebay-start": "1", "x-forebay-mirror": "1", "x-forebay-retry": "1"},
    }
    gateway.route(routed(name))
    with (
        triton(gateway, f"{name}.default") as client,
        at_once(2, lambda _: ask(gateway, INFER.format(name), b"{}", headers=forged)) as by_http,
        at_once(2, lambda _: client.infer(name, [tensor()], headers=forged)) as by_grpc,
    ):
        gateway.wait_until_held(name, 4)
        gateway.write(routed(name, backend.endpoint))
        assert {reply.status for reply in results(by_http)} == {200}
        results(by_grpc)
    assert len(backend.seen()) == 4


def test_metadata_in_no_known_encoding_does_not_end_the_waiting_of_others(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    gateway.route(routed(name))
    with triton(gateway, f"{name}.default") as client, at_once(3, lambda _: client.infer(name, [tensor()])) as calls:
        gateway.wait_until_held(name, 3)
        with Http2Client.connected(gateway.grpc_port) as odd:
            odd.ask(1, grpc_head(f"{name}.default", (b"x-odd", b"\xff\xfe\x80")), ended=False)
            gateway.wait_until_held(name, 4)
        gateway.wait_until_held(name, 3)
        gateway.write(routed(name, backend.endpoint))
        results(calls)
    assert len(backend.seen()) == 3


def test_as_much_metadata_as_may_be_waits_like_any_other(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    much = {f"x-{number}": "y" * 900 for number in range(55)}
    gateway.route(routed(name))
    with (
        triton(gateway, f"{name}.default") as client,
        at_once(1, lambda _: ask(gateway, INFER.format(name), b"{}", headers=much)) as by_http,
        at_once(2, lambda number: client.infer(name, [tensor()], headers=much if number else {})) as by_grpc,
    ):
        gateway.wait_until_held(name, 3)
        gateway.write(routed(name, backend.endpoint))
        assert results(by_http)[0].status == 200
        results(by_grpc)


def test_a_body_that_does_not_come_while_its_request_waits_is_taken_later(
    gateway: GatewayProcess, backend: Backend, name: str
) -> None:
    gateway.route(routed(name))
    with plain(gateway.http_port) as slow:
        slow.sendall("\r\n".join([*head(name, "content-length: 4"), "", ""]).encode() + b"{ ")
        gateway.wait_until_held(name, 1)
        gateway.route(routed(name, backend.endpoint))
        slow.sendall(b" }")
        assert read_answer(slow)[0] == 200
    assert [seen["size"] for seen in backend.seen()] == [4]


def test_requests_in_a_row_wait_in_a_row_and_leave_together(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name))
    with plain(gateway.http_port) as eager:
        eager.sendall("\r\n".join([*head(name, "content-length: 0"), "", ""]).encode() * 20)
        gateway.wait_until_held(name, 1)
    gateway.wait_until_held(name, 0)


def test_streams_that_are_opened_and_given_up_at_once_leave_nothing_behind(gateway: GatewayProcess, name: str) -> None:
    gateway.route(routed(name))
    with Http2Client.connected(gateway.grpc_port) as patient, Http2Client.connected(gateway.grpc_port) as rapid:
        patient.ask(1, grpc_head(f"{name}.default"), ended=False)
        gateway.wait_until_held(name, 1)
        for stream in range(1, 400, 2):
            rapid.ask(stream, grpc_head(f"{name}.default"), ended=False)
            rapid.give_up(stream)
        gateway.demand(name, lambda model: model.arrivals > 1 and model.held == 1)


def _without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [field for field in grpc_head("m.default") if field[0] != name]


def _with_length(client: Http2Client, length: bytes) -> None:
    client.ask(1, grpc_head("m.default", (b"content-length", length)), ended=False)
    client.send(Frame(FrameType.DATA, 1, 1, b"x"))


def _endless(client: Http2Client) -> None:
    client.send(Frame(FrameType.HEADERS, 0, 1, client.head(1, grpc_head("m.default")).payload))
    for _ in range(50):
        client.send(Frame(FrameType.CONTINUATION, 0, 1, b"\x00\x01x\x7f\xff\x03" + b"y" * 1000))


ODD_FRAMES: dict[str, Callable[[Http2Client], None]] = {
    "no path": lambda client: client.ask(1, [field for field in grpc_head("m.default") if field[0] != b":path"]),
    "path without slash": lambda client: client.ask(1, [(b":path", b"infer"), *_without(b":path")]),
    "two paths": lambda client: client.ask(1, [(b":path", b"/x"), *grpc_head("m.default")]),
    "host beside authority": lambda client: client.ask(1, grpc_head("m.default", (b"host", b"other.default"))),
    "upper case": lambda client: client.ask(1, grpc_head("m.default", (b"X-Upper", b"1"))),
    "connection": lambda client: client.ask(1, grpc_head("m.default", (b"connection", b"close"))),
    "transfer-encoding": lambda client: client.ask(1, grpc_head("m.default", (b"transfer-encoding", b"chunked"))),
    "line break in a value": lambda client: client.ask(1, grpc_head("m.default", (b"x", b"a\r\nb: c"))),
    "pseudo header behind": lambda client: client.ask(1, grpc_head("m.default", (b":scheme", b"http"))),
    "wrong length": lambda client: _with_length(client, b"100"),
    "even stream": lambda client: client.ask(2, grpc_head("m.default")),
    "stream zero": lambda client: client.ask(0, grpc_head("m.default")),
    "data first": lambda client: client.send(Frame(FrameType.DATA, 0, 1, b"x")),
    "window too wide": lambda client: client.send(window_update(0, 0x7FFFFFFF)),
    "continuation of nothing": lambda client: client.send(Frame(FrameType.CONTINUATION, 0, 1, b"x")),
    "settings of a wrong length": lambda client: client.send(Frame(FrameType.SETTINGS, 0, 0, b"x")),
    "endless head": _endless,
    "no frames": lambda client: client.send_bytes(b"\xff" * 5000),
}


def test_frames_that_make_no_sense_disturb_nobody(gateway: GatewayProcess, backend: Backend, name: str) -> None:
    gateway.route(routed(name))
    envoy = gateway.envoy_pid
    with triton(gateway, f"{name}.default") as client, at_once(2, lambda _: client.infer(name, [tensor()])) as calls:
        gateway.wait_until_held(name, 2)
        for port in (gateway.http_port, gateway.grpc_port):
            for odd in ODD_FRAMES.values():
                with Http2Client.connected(port) as hostile:
                    odd(hostile)
        assert ask(gateway, "/v2/health/ready").status == 200
        gateway.wait_until_held(name, 2)
        gateway.write(routed(name, backend.endpoint))
        results(calls)
    assert gateway.envoy_pid == envoy
    assert gateway.process
    assert gateway.process.poll() is None
    assert "Traceback" not in gateway.log()
