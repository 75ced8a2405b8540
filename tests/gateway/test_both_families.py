"""Where the machine has IPv6: the gateway listens by both families, and reaches servers that have addresses of IPv6 only."""

import urllib.request
from collections.abc import Generator
from http.client import HTTPConnection

import pytest
import tritonclient.grpc as triton_grpc

from forebay_schema.network import address_for, authority, split_authority
from gateway_clients import INFER, routed, tensor
from gateway_processes import PATIENCE_S, Backend, GatewayProcess

pytestmark = pytest.mark.skipif(address_for("any") != "::", reason="this kernel has no IPv6")
ADDRESSES = ["::1", "127.0.0.1"]


@pytest.fixture(scope="module")
def server() -> Generator[Backend]:
    """A server on an address of IPv6."""
    with Backend.running("six", "::1") as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(server: Backend) -> Generator[GatewayProcess]:
    """Listens as in a pod."""
    with GatewayProcess.prepared() as gateway:
        gateway.write(routed("digits", server.endpoint))
        gateway.start("--http-address=any", "--control-address=any:0")
        gateway.wait_until_ready()
        yield gateway


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("host", ["digits.default", "digits.default.svc.cluster.local:8000", "[::1]:8000", "[fd00::7]"])
def test_http_comes_by_both_families_whatever_the_host_is_called(
    gateway: GatewayProcess, server: Backend, address: str, host: str
) -> None:
    server.reset()
    client = HTTPConnection(address, gateway.http_port, timeout=PATIENCE_S)
    try:
        client.request("POST", INFER.format("digits"), b"{}", {"host": host})
        assert client.getresponse().status == 200
    finally:
        client.close()
    assert [seen["model"] for seen in server.seen()] == ["digits"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_grpc_comes_by_both_families(gateway: GatewayProcess, server: Backend, address: str) -> None:
    server.reset()
    channel = [("grpc.default_authority", "digits.default")]
    client = triton_grpc.InferenceServerClient(authority(address, gateway.grpc_port), channel_args=channel)
    try:
        client.infer("digits", [tensor()], client_timeout=PATIENCE_S)
    finally:
        client.close()
    assert [seen["protocol"] for seen in server.seen()] == ["grpc"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_control_pages_are_reached_by_both_families(gateway: GatewayProcess, address: str) -> None:
    host, port = split_authority(str(gateway.ready()["control"]))
    assert host == "::"
    with urllib.request.urlopen(f"http://{authority(address, port)}/healthz", timeout=PATIENCE_S) as answer:
        assert answer.status == 200


def test_the_ready_file_has_addresses_as_urls_have_them(gateway: GatewayProcess) -> None:
    assert gateway.ready()["http"] == f"[::]:{gateway.http_port}"
    assert gateway.ready()["grpc"] == f"[::]:{gateway.grpc_port}"
