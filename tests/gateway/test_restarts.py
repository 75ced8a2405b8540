"""Either of the two processes ends and comes back; settings and files that cannot be used."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forebay_gateway.envoy.process import start_time
from forebay_gateway.settings import sockets_for
from gateway_clients import INFER, Reply, ask, at_once, connection, results, routed
from gateway_processes import PATIENCE_S, Backend, GatewayProcess, eventually


@pytest.fixture
def alone(backend: Backend) -> Generator[GatewayProcess]:
    """A gateway for one test, with a model that is served and one that is not."""
    with GatewayProcess.running(routed("awake", backend.endpoint), routed("asleep")) as gateway:
        yield gateway


def infer(gateway: GatewayProcess, name: str) -> Reply:
    return ask(gateway, INFER.format(name), b"{}")


@contextmanager
def steady_traffic(gateway: GatewayProcess, name: str) -> Generator[list[int]]:
    statuses: list[int] = []
    over = threading.Event()

    def keep_asking(_: int) -> None:
        while not over.is_set():
            statuses.append(infer(gateway, name).status)

    with at_once(2, keep_asking) as threads:
        try:
            yield statuses
        finally:
            over.set()
        results(threads)


def more_answers(statuses: list[int], count: int = 20) -> None:
    after = len(statuses) + count
    eventually("answers", lambda: len(statuses) > after)


def test_a_killed_gateway_s_envoy_serves_on_and_is_adopted(alone: GatewayProcess, backend: Backend) -> None:
    envoy = alone.envoy_pid
    with steady_traffic(alone, "awake") as statuses:
        more_answers(statuses)
        alone.kill()
        more_answers(statuses)
        alone.start()
        alone.wait_until_ready()
        more_answers(statuses)
        with at_once(3, lambda _: infer(alone, "asleep")) as calls:
            alone.wait_until_held("asleep", 3)
            alone.route(routed("awake", backend.endpoint), routed("asleep", backend.endpoint))
            assert {reply.status for reply in results(calls)} == {200}
    assert set(statuses) == {200}
    assert alone.envoy_pid == envoy == alone.ready()["envoy_pid"]


def test_a_planned_stop_gives_held_requests_back_and_leaves_envoy_serving(alone: GatewayProcess) -> None:
    envoy = alone.envoy_pid
    alone.kill()
    alone.start("--keep-envoy")
    alone.wait_until_ready()
    with at_once(5, lambda _: infer(alone, "asleep")) as calls:
        alone.wait_until_held("asleep", 5)
        assert alone.terminate() == 0
        # Envoy tries them again for a second or two, then no successor is there: it says so itself.
        assert {reply.status for reply in results(calls)} == {503}
    assert alone.envoy_pid == envoy
    assert infer(alone, "awake").status == 200


def test_a_killed_envoy_is_started_again(alone: GatewayProcess) -> None:
    envoy = alone.envoy_pid
    os.kill(envoy, signal.SIGKILL)
    eventually("another Envoy", lambda: alone.ready()["envoy_pid"] != envoy)
    assert infer(alone, "awake").status == 200
    assert "forebay_gateway_envoy_starts_total 2" in alone.page("/metrics")[1]


def test_an_envoy_that_hangs_is_replaced(alone: GatewayProcess) -> None:
    alone.kill()
    alone.start("--envoy-patience-seconds=1")
    alone.wait_until_ready()
    envoy = alone.envoy_pid
    os.kill(envoy, signal.SIGSTOP)
    eventually("another Envoy", lambda: alone.ready()["envoy_pid"] != envoy)
    assert start_time(envoy) is None
    assert infer(alone, "awake").status == 200


def test_an_envoy_killed_while_the_gateway_was_away_is_replaced(alone: GatewayProcess) -> None:
    alone.kill()
    envoy = alone.envoy_pid
    os.kill(envoy, signal.SIGKILL)
    eventually("its end", lambda: start_time(envoy) is None)
    alone.start()
    alone.wait_until_ready()
    assert alone.envoy_pid != envoy
    assert infer(alone, "awake").status == 200


def test_an_envoy_with_other_settings_is_replaced(alone: GatewayProcess) -> None:
    alone.kill()
    envoy = alone.envoy_pid
    alone.start("--concurrency", "2")
    alone.wait_until_ready()
    assert alone.envoy_pid != envoy
    assert start_time(envoy) is None
    assert infer(alone, "awake").status == 200


def test_a_process_that_has_envoy_s_old_number_is_left_alone(alone: GatewayProcess) -> None:
    pid_file = alone.folder / "run/envoy-process.json"
    alone.terminate()
    pid_file.write_text(json.dumps({"pid": os.getpid(), "started": 1, "bootstrap": "x"}))
    alone.start()
    alone.wait_until_ready()
    assert alone.envoy_pid != os.getpid()


def test_envoy_ends_with_a_gateway_that_is_asked_to_end(alone: GatewayProcess) -> None:
    envoy = alone.envoy_pid
    assert alone.terminate() == 0
    assert start_time(envoy) is None
    assert not (alone.folder / "run/envoy-process.json").exists()


def test_a_reader_of_the_demand_stream_ends_quietly_with_the_gateway(alone: GatewayProcess) -> None:
    lines = alone.demand_lines()
    next(lines)
    assert alone.terminate() == 0
    list(lines)
    assert "Traceback" not in alone.log()


def test_a_route_table_that_cannot_be_read_leaves_the_last_good_one(alone: GatewayProcess, backend: Backend) -> None:
    alone.replace_routes_file('{"schema": "forebay.dev/route-table/v1", "routes": [{"namespace": "default"')
    eventually("a complaint", lambda: "route table refused" in alone.log())
    assert infer(alone, "awake").status == 200
    alone.route(routed("later", backend.endpoint))
    assert infer(alone, "later").status == 200


def test_a_gateway_with_no_route_table_says_so_and_starts_when_there_is_one(backend: Backend) -> None:
    with GatewayProcess.prepared() as gateway:
        gateway.start()
        status, text = eventually("a complaint", lambda: complaint(gateway))
        assert status == 503
        assert "routes.json cannot be served" in text
        gateway.write(routed("awake", backend.endpoint))
        gateway.wait_until_ready()
        assert gateway.page("/healthz") == (200, "ok\n")
        assert infer(gateway, "awake").status == 200


def complaint(gateway: GatewayProcess) -> tuple[int, str] | None:
    try:
        status, text = gateway.page("/healthz")
    except OSError:
        return None
    return (status, text) if "routes.json" in text else None


def test_a_second_gateway_in_the_same_run_directory_is_refused(alone: GatewayProcess) -> None:
    assert alone.process
    refusal = refused(alone)
    assert refusal.startswith(f"forebay-gateway: another gateway (process {alone.process.pid}) runs in {alone.folder / 'run'}")
    assert infer(alone, "awake").status == 200


def test_a_port_in_use_is_named() -> None:
    with GatewayProcess.prepared() as gateway, socket.create_server(("127.0.0.1", gateway.http_port)):
        gateway.write()
        assert f"port {gateway.http_port} on 127.0.0.1 cannot be used: Address already in use" in refused(gateway)


def test_a_control_socket_whose_path_is_too_long_is_refused() -> None:
    with GatewayProcess.prepared() as gateway:
        gateway.write()
        path = gateway.folder / ("x" * 100) / "control.sock"
        assert "a Unix socket's path may have 107" in refused(gateway, "--control-socket", str(path))


def test_a_deep_run_directory_works_and_its_envoy_is_adopted(backend: Backend) -> None:
    with GatewayProcess.prepared() as gateway:
        gateway.write(routed("awake", backend.endpoint))
        gateway.run_dir = gateway.folder / ("deep" * 20) / "run"
        gateway.start()
        gateway.wait_until_ready()
        envoy = gateway.envoy_pid
        gateway.kill()
        gateway.start()
        gateway.wait_until_ready()
        assert gateway.envoy_pid == envoy
        assert infer(gateway, "awake").status == 200
        sockets = sockets_for(gateway.run_dir, Path(tempfile.gettempdir())).folder
        assert sockets.is_dir()
        assert gateway.terminate() == 0
        assert not sockets.exists(), "nothing stays behind"


def test_everything_in_the_run_directory_is_private(alone: GatewayProcess) -> None:
    run = alone.folder / "run"
    assert {path.name: path.stat().st_mode & 0o077 for path in [run, alone.control_socket, *run.iterdir()]} == {
        path.name: 0 for path in [run, alone.control_socket, *run.iterdir()]
    }


def test_a_client_of_the_control_socket_that_goes_away_disturbs_nobody(alone: GatewayProcess) -> None:
    lines = alone.demand_lines()
    next(lines)
    lines.close()
    assert alone.page("/nothing")[0] == 404
    assert alone.page("/healthz")[0] == 200
    with connection(alone) as client:
        client.request("GET", "/v2/health/ready")
        assert client.getresponse().status == 200


def refused(gateway: GatewayProcess, *options: str) -> str:
    """What a gateway says that cannot start like this one."""
    ended = subprocess.run(gateway.command(*options), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 1, ended
    return ended.stderr.splitlines()[-1]
