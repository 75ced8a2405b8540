"""Where the machine has IPv6, a server that listens as in a pod is reached by both families."""

import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest
import tritonclient.grpc as triton_grpc

from forebay_schema.network import address_for, authority
from runtime_servers import DEADLINE_S, Server, running_server

pytestmark = pytest.mark.skipif(address_for("any") != "::", reason="this kernel has no IPv6")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder: Path = tmp_path_factory.mktemp("server")
    places = ("--http-address=any", "--grpc-address=any", "--metrics-address=any")
    with running_server(folder, "--model-control-mode=explicit", "--strict-readiness=false", *places) as running:
        yield running


@pytest.mark.parametrize("address", ["::1", "127.0.0.1"])
def test_all_three_ports_answer(server: Server, address: str) -> None:
    for port, page in ((server.http, "/v2/health/ready"), (server.metrics, "/metrics")):
        with urllib.request.urlopen(f"http://{authority(address, port)}{page}", timeout=DEADLINE_S) as answer:
            assert answer.status == 200
    client = triton_grpc.InferenceServerClient(authority(address, server.grpc))
    try:
        assert client.is_server_live(client_timeout=DEADLINE_S)
    finally:
        client.close()
