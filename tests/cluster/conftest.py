"""A real API server for the tests in this folder; without one they are skipped, with the remedy."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster_api import Api, ApiError, eventually
from cluster_control_plane import REMEDY, Access, ControlPlane, assets
from cluster_kubelet import NODE
from cluster_site import Site, site

_DEFINITION = Path(__file__).parents[2] / "crds" / "forebay.dev_modeldeployments.yaml"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of our own: for tests that stop its API server or read its audit log."""
    programs = assets()
    if programs is None:
        pytest.skip(f"no programs of a control plane: {REMEDY}")
    plane = ControlPlane(programs, tmp_path_factory.mktemp("control-plane"))
    try:
        plane.start()
        _prepare(plane.api)
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Access:
    """A cluster with the definition: a control plane of our own, else the one that KUBECONFIG names."""
    if assets() is not None:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        return plane.access
    if not os.environ.get("KUBECONFIG"):
        pytest.skip(f"no API server: {REMEDY}")
    kubeconfig = Path(os.environ["KUBECONFIG"])
    access = Access(kubeconfig, Api.of_kubeconfig(kubeconfig))
    _prepare(access.api)
    return access


@pytest.fixture
def here(cluster: Access, tmp_path: Path) -> Iterator[Site]:
    """A namespace of the test's own."""
    with site(cluster, _namespace(), tmp_path) as made:
        yield made


@pytest.fixture
def restricted(cluster: Access, tmp_path: Path) -> Iterator[Site]:
    """A namespace that takes pods of the standard `restricted` only."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with site(cluster, _namespace(), tmp_path, labels) as made:
        yield made


def _namespace() -> str:
    return f"test-{os.getpid()}-{next(_numbers)}"


def _prepare(api: Api) -> None:
    """The definition, and the node that played pods are bound to: pods of a node that is not there are collected."""
    _install_definition(api)
    with contextlib.suppress(ApiError):
        api.create("/api/v1/nodes", {"metadata": {"name": NODE}})


def _install_definition(api: Api) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    definition = yaml.safe_load(_DEFINITION.read_text())
    try:
        api.create(f"{path}?fieldValidation=Strict", definition)
    except ApiError as error:
        if error.status != 409:
            raise
        api.apply(f"{path}/{definition['metadata']['name']}", definition)
    everywhere = "/apis/forebay.dev/v1alpha1/modeldeployments"
    eventually(lambda: _answers(api, everywhere), "the API server does not serve ModelDeployments")


def _answers(api: Api, path: str) -> bool:
    """Whether a listing succeeds: for a moment after a definition was made there is none, or it is still being prepared."""
    try:
        api.get(path)
    except ApiError:
        return False
    return True
