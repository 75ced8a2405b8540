"""The operator lives under the account and the rights that the chart gives it: they suffice, and none is granted unused.

The chart's admission policies are in force meanwhile, and object to nothing.
"""

import os
from collections.abc import Iterator

import pytest

from chart_cluster import OPERATOR, calls_of, forget_operator_access, granted, operator_access, operator_roles
from chart_rendering import Json
from cluster_api import eventually
from cluster_control_plane import ControlPlane
from cluster_operator import OperatorProcess, settings
from cluster_site import Site, site

SECONDS = 120.0
CREATED = 201

Right = tuple[str, str]


@pytest.fixture(scope="module")
def here(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A namespace with an operator whose account is the chart's."""
    access, namespace = control_plane.access, f"rights-{os.getpid()}"
    folder = tmp_path_factory.mktemp("rights")
    with site(access, namespace, folder) as made:
        limited = operator_access(access, namespace, folder)
        servers = {**settings(namespace, folder)["servers"], "maxUnavailable": 1}
        told = settings(namespace, folder, leadership={"name": OPERATOR}, auditSeconds=2, servers=servers)
        try:
            with OperatorProcess(limited, folder, told) as operator:
                operator.wait_until_it_acts()
                yield made
        finally:
            forget_operator_access(access, namespace)


def test_the_rights_suffice_and_every_one_of_them_is_used(control_plane: ControlPlane, here: Site) -> None:
    here.start_kubelet()
    here.deploy("scaling", here.model_file(3.0), replicas=2)
    here.wait_until_ready("scaling", 2, SECONDS)
    _let_only_one_of_two_servers_be_evicted(here)
    _edit_the_service(here)
    _shrink(here)
    _take_away(here)

    account = f"{here.namespace}:{OPERATOR}"
    needed = {(verb, what) for verb, what, _ in granted(operator_roles())}

    def unused() -> set[Right]:
        return needed - _used(control_plane, account)

    eventually(lambda: not unused(), lambda: f"granted and never used: {sorted(unused())}", SECONDS)
    assert [call for call in calls_of(control_plane.audit_log, account) if call[2] in (403, 422)] == []


def _let_only_one_of_two_servers_be_evicted(here: Site) -> None:
    def allowed() -> list[int]:
        seen = [each.get("status", {}) for each in _all(here, "poddisruptionbudgets")]
        return [status.get("disruptionsAllowed", 0) for status in seen if status.get("expectedPods") == 2]

    eventually(lambda: allowed() == [1], lambda: f"{_all(here, 'poddisruptionbudgets')}", SECONDS)


def _edit_the_service(here: Site) -> None:
    """It is put right, and that is told in an Event."""
    path = here.path("services", "scaling")
    gateway = here.api.get(path)["spec"]["externalName"]
    here.api.merge(f"{path}?fieldManager=kubectl-edit", {"spec": {"externalName": "elsewhere.example.com"}})
    eventually(lambda: here.api.get(path)["spec"]["externalName"] == gateway, "the Service leads elsewhere", SECONDS)
    eventually(lambda: here.events("ChangedByOthers"), "nobody is told", SECONDS)


def _shrink(here: Site) -> None:
    """One of two servers is marked to go first."""
    here.deploy("scaling", here.model_file(3.0), replicas=1)
    here.wait_until_ready("scaling", 1, SECONDS)
    eventually(lambda: _servers(here) == 1, "both servers stay", SECONDS)


def _servers(here: Site) -> int:
    """Those that are not about to go."""
    return sum(
        pod["metadata"]["labels"]["app.kubernetes.io/component"] == "server" and "deletionTimestamp" not in pod["metadata"]
        for pod in _all(here, "pods")
    )


def _all(here: Site, kind: str) -> list[Json]:
    return here.api.get(here.path(kind))["items"] or []


def _take_away(here: Site) -> None:
    """A model that is stopped while it is converted needs neither its Job nor its pool."""
    here.deploy("scaling", here.model_file(5.0), replicas=0)
    eventually(lambda: not _all(here, "deployments"), "the pool stays", SECONDS)
    eventually(lambda: not _all(here, "poddisruptionbudgets"), "its budget stays", SECONDS)
    eventually(lambda: not _all(here, "jobs"), "the Jobs stay", SECONDS)


def _used(control_plane: ControlPlane, account: str) -> set[Right]:
    """An apply that made an object was checked for `create` as well."""
    calls = list(calls_of(control_plane.audit_log, account))
    return {(verb, what) for verb, what, _ in calls} | {
        ("create", what) for verb, what, status in calls if verb == "patch" and status == CREATED
    }
