"""The chart starts gateways with arguments that the gateway takes. Skipped where there is no helm."""

from pathlib import Path

import pytest

from chart_rendering import VALUE_SETS, Json, objects, pod_templates, render
from forebay_gateway.__main__ import parse
from forebay_gateway.settings import split_address


@pytest.fixture(scope="module", params=VALUE_SETS)
def pod(request: pytest.FixtureRequest) -> Json:
    templates = dict(pod_templates(objects(render(request.param))))
    [spec] = [template["spec"] for name, template in templates.items() if name.endswith("-gateway")]
    return dict(spec)


def test_the_gateway_takes_the_chart_s_arguments(pod: Json) -> None:
    [container] = pod["containers"]
    settings = parse(container["args"])
    assert settings.cluster
    assert settings.routes is None
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {
        "http": settings.http_port,
        "grpc": settings.grpc_port,
        "control": split_address(settings.control_address)[1],
    }
    assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "control"}
    mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
    for path in (settings.run_dir, settings.control_socket):
        assert any(path.is_relative_to(mount) for mount in mounts), "the root file system is read-only"


def test_there_is_time_to_drain_before_a_pod_is_killed(pod: Json) -> None:
    [container] = pod["containers"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    settings = parse(container["args"])
    assert settings.cluster
    assert settings.drain_seconds > settings.cluster.hold_seconds, "what waits for a replica is answered"
    assert pod["terminationGracePeriodSeconds"] > pause + settings.drain_seconds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of the arguments --routes --kubernetes is required"),
        (["--routes=r", "--kubernetes"], "not allowed with argument"),
        (["--routes=r", "--namespace=team-a"], "go with --kubernetes"),
        (["--routes=r", "--hold-seconds=5"], "go with --kubernetes"),
    ],
)
def test_where_routes_come_from_is_said_once(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([*arguments, "--run-dir=run", "--control-socket=control.sock"])
    assert said in capsys.readouterr().err
