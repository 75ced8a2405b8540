"""What holds for every test, and what several folders share.

Hypothesis has no deadline, as machines that run tests are busy, and no test asserts a speed. There is one real API server for
all tests that ask for it; without the programs of one they are skipped, and the last line of the run says what to do.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml
from hypothesis import settings

import cluster_programs
from cluster_api import Api, ApiError, eventually
from cluster_control_plane import Access, ControlPlane
from cluster_kubelet import NODE

settings.register_profile("forebay", deadline=None)
settings.load_profile("forebay")
# Not KUBECONFIG itself: many have it set to a cluster that is in use, and these tests make namespaces, nodes and definitions.
_NAMED: Final = "FOREBAY_TEST_KUBECONFIG"
_DEFINITION: Final = Path(__file__).parents[1] / "crds" / "forebay.dev_modeldeployments.yaml"


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of our own: for tests that stop its API server or read its audit log."""
    programs = cluster_programs.folder()
    if programs is None:
        pytest.skip(f"{cluster_programs.ABSENT}: {cluster_programs.REMEDY}")
    plane = ControlPlane(programs, tmp_path_factory.mktemp("control-plane"))
    try:
        plane.start()
        _prepare(plane.api)
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Access:
    """A cluster with the definition: the one that FOREBAY_TEST_KUBECONFIG names, else a control plane of our own."""
    named = os.environ.get(_NAMED)
    if not named:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        return plane.access
    access = Access(Path(named), Api.of_kubeconfig(Path(named)))
    _prepare(access.api)
    return access


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs an API server begins first: it takes longest, mostly waiting."""
    items.sort(key=lambda item: not _needs_a_cluster(item))


def _needs_a_cluster(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and not {"cluster", "control_plane"}.isdisjoint(item.fixturenames)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of CI that left tests out; but only where Go is, as nothing can be built without it."""
    if _left_out(session.config) and os.environ.get("CI") == "true" and shutil.which("go"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    files, reporter = _left_out(config), _reporter(config)
    if files and reporter:
        left_out = f"Left out for want of a control plane's programs: tests in {', '.join(files)}."
        reporter.write_line(f"{left_out} To run them, {cluster_programs.REMEDY}.")


def _left_out(config: pytest.Config) -> list[str]:
    """Files with tests that were skipped because the programs are not there."""
    reporter = _reporter(config)
    skipped: list[pytest.TestReport] = reporter.stats.get("skipped", []) if reporter else []
    return sorted({report.nodeid.partition("::")[0] for report in skipped if cluster_programs.ABSENT in str(report.longrepr)})


def _reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    """What writes the run's summary."""
    found: object = config.pluginmanager.get_plugin("terminalreporter")
    return found if isinstance(found, pytest.TerminalReporter) else None
