"""No descriptors left in the gateway's process, or in Envoy: what is open is served, and nothing that waits is lost."""

import resource
import shutil
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gateway_clients import INFER, ask, at_once, connection, results, routed
from gateway_processes import Backend, GatewayProcess, eventually

FEW = 180


def used(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def few_descriptors(pid: int, more: int) -> Generator[None]:
    """Within the block the process may have so many more than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used(pid) + more, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


class FewDescriptors(GatewayProcess):
    """As where a container has few of them."""

    def command(self, *options: str) -> list[str]:
        return ["prlimit", f"--nofile={FEW}", *super().command(*options)]


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="there is no prlimit here")
def test_no_more_requests_wait_than_there_are_descriptors_for_and_the_rest_are_told(backend: Backend) -> None:
    asked, most = FEW // 3 + 20, FEW // 3
    with FewDescriptors.running() as gateway, ExitStack() as stack:
        gateway.route(routed("ready", backend.endpoint), routed("waiting"))
        waiting = stack.enter_context(
            at_once(asked, lambda _: ask(gateway, INFER.format("waiting"), b"{}", host="waiting.default"))
        )
        eventually("all but those that may wait are answered", lambda: sum(one.done() for one in waiting) == asked - most)
        refused = [one.result() for one in waiting if one.done()]
        assert {(answer.status, bool(answer.error), "retry-after" in answer.headers) for answer in refused} == {
            (503, True, True)
        }
        assert ask(gateway, INFER.format("ready"), b"{}", host="ready.default").status == 200
        gateway.route(routed("ready", backend.endpoint), routed("waiting", backend.endpoint))
        assert sorted(answer.status for answer in results(waiting)) == [200] * most + [503] * (asked - most)


def test_connections_are_served_though_envoy_has_no_descriptor_for_more(backend: Backend) -> None:
    with GatewayProcess.running() as gateway, ExitStack() as stack:
        gateway.route(routed("ready", backend.endpoint))
        client = stack.enter_context(connection(gateway))
        envoy = gateway.envoy_pid

        def served() -> bool:
            client.request("POST", INFER.format("ready"), b"{}", {"host": "ready.default"})
            answer = client.getresponse()
            answer.read()
            return answer.status == 200

        assert served()
        with few_descriptors(envoy, more=10), ExitStack() as idle:
            limit, _ = resource.prlimit(envoy, resource.RLIMIT_NOFILE)
            for _ in range(40):
                idle.enter_context(socket.create_connection(("127.0.0.1", gateway.http_port), timeout=60))
            eventually("there are none left", lambda: used(envoy) >= limit)
            assert all(served() for _ in range(20))
        assert ask(gateway, INFER.format("ready"), b"{}", host="ready.default").status == 200
        assert gateway.envoy_pid == envoy
