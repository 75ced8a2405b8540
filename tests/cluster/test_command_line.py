"""The commands of one machine, on a cluster: a real API server, the operator as a process, played pods."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chart_rendering import program
from cluster_api import ApiError, eventually
from cluster_commands import Commands, commands_as, commands_of, run
from cluster_control_plane import ControlPlane
from cluster_logs import log_server
from cluster_site import Site
from local_models import a_deployment

_ROLE = "tests-models-view"


def applied(commands: Commands, name: str, uri: str, **spec: object) -> str:
    done = commands("apply", "-", stdin=a_deployment(name, uri, **spec))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_is_applied_shown_explained_and_deleted(control_plane: ControlPlane, here: Site) -> None:
    forebay = commands_of(here)
    here.start_kubelet()
    here.start_operator()
    source = f"file://{here.model_file(3.0)}"

    assert applied(forebay, "scaling", source) == f"modeldeployment {here.namespace}/scaling created\n"
    here.wait_until_ready("scaling")
    assert "unchanged" in applied(forebay, "scaling", source)
    assert "configured" in applied(forebay, "scaling", source, replicas=1)
    here.wait_until_ready("scaling")

    assert "Ready: 1 of 1" in forebay("get").stdout
    details = forebay("get", "scaling").stdout
    assert f"curl -s http://scaling.{here.namespace}:8000/v2/models/scaling" in details
    assert "kubectl port-forward --namespace forebay-system service/forebay-gateway 8000 8001" in details
    chain = forebay("explain", "scaling").stdout
    assert [line.split()[0] for line in chain.splitlines() if line[0] != " "] == [
        "Asked",
        "Seen",
        "Decided",
        "Missing",
        "Lately",
    ]
    assert "holds revision 1" in chain
    assert "requests go 100 % to revision 1 on 1 server" in chain
    top = forebay("top", "--once").stdout
    assert "model " in top
    assert "scaling:1" in top
    with log_server(control_plane, here.api, here.folder / "pods"):
        eventually(lambda: "model loaded" in forebay("logs", "scaling").stdout, lambda: str(forebay("logs", "scaling")))

    assert forebay("delete", "scaling").returncode == 0
    gone = forebay("explain", "scaling")
    assert gone.returncode == 4
    assert f"there is no ModelDeployment {here.namespace}/scaling; namespace {here.namespace} has" in gone.stderr


def test_a_model_that_nothing_looks_at_yet_says_what_to_look_for(here: Site) -> None:
    forebay = commands_of(here)
    applied(forebay, "waiting", "s3://models/waiting.onnx")

    chain = forebay("explain", "waiting").stdout

    assert "the first look of the controller" in chain
    assert "see whether the operator runs" in chain
    assert "Not looked at yet." in forebay("get").stdout


def test_what_is_wrong_is_refused_here_or_by_the_api_server_with_its_place(here: Site) -> None:
    forebay = commands_of(here)
    file = here.folder / "local.onnx"
    file.touch()
    (here.folder / "models.yaml").write_text(
        "---\n".join(
            [
                a_deployment("right", "s3://models/right.onnx"),
                a_deployment("typo", "s3://models/typo.onnx", replics=2),
                a_deployment("here", str(file)),
            ]
        )
    )

    done = forebay("apply", str(here.folder / "models.yaml"))

    assert done.returncode == 1
    assert done.stdout == f"modeldeployment {here.namespace}/right created\n"
    assert "models.yaml:" in done.stderr
    assert "did you mean `replicas`?" in done.stderr
    assert f"{file} is a file of this machine, which the cluster cannot read" in done.stderr
    # What only the API server knows: the change of a field that cannot be changed, for one, or a namespace that is not there.
    nowhere = run(
        "apply", "-", "--kubeconfig", str(here.access.kubeconfig), "-n", "nowhere", stdin=a_deployment("a", "s3://m/a.onnx")
    )
    assert nowhere.returncode == 1
    assert 'namespaces "nowhere" not found' in nowhere.stderr


def test_whoever_may_see_one_namespace_sees_that_and_is_told_what_is_hidden(here: Site) -> None:
    _make_role(here)
    applied(commands_of(here), "scaling", "s3://models/scaling.onnx")
    blinkered, viewer = commands_as(here, "blinkered", _ROLE), commands_as(here, "viewer", _ROLE, "view")

    assert "scaling" in viewer("get").stdout
    assert "cannot be seen" not in viewer("explain", "scaling").stdout
    assert "pods cannot be seen: pods is forbidden" in blinkered("explain", "scaling").stdout
    for refused in (
        viewer("delete", "scaling"),
        viewer("get", "-A"),
        viewer("apply", "-", stdin=a_deployment("other", "s3://models/other.onnx")),
    ):
        assert refused.returncode == 1
        assert "is forbidden" in refused.stderr
        assert "ask for the right to do that" in refused.stderr


def test_it_is_a_plugin_of_kubectl(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = program("kubectl", "put it on the PATH")
    # Plugins are found on the PATH; this one is installed beside Python.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    applied(commands_of(here), "scaling", "s3://models/scaling.onnx")
    monkeypatch.setenv("KUBECONFIG", str(here.access.kubeconfig))

    shown = kubectl_forebay(kubectl, "get", "-n", here.namespace)

    assert "scaling" in shown


def kubectl_forebay(kubectl: str, *arguments: str) -> str:
    done = subprocess.run([kubectl, "forebay", *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _make_role(here: Site) -> None:
    rules = [{"apiGroups": ["forebay.dev"], "resources": ["modeldeployments"], "verbs": ["get", "list", "watch"]}]
    try:
        here.api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": _ROLE}, "rules": rules})
    except ApiError as error:
        if error.status != 409:
            raise
