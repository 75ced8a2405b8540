"""Releases of the chart as helm makes them on a real API server: several of them, an upgrade, and what is left at the end."""

import itertools
import os
from collections.abc import Iterator

import pytest

from chart_rendering import CHART, LOCAL, helm
from cluster_api import Api, Json, eventually
from cluster_control_plane import Access

WITHOUT_DEFINITION = ("--set=crds.install=false", "--set=rbac.aggregate=false", LOCAL)
WITH_DEFINITION = "--set=crds.install=true"
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modeldeployments.forebay.dev"
KINDS = {
    "/api/v1": ("configmaps", "persistentvolumeclaims", "secrets", "serviceaccounts", "services"),
    "/apis/apps/v1": ("deployments",),
    "/apis/coordination.k8s.io/v1": ("leases",),
    "/apis/networking.k8s.io/v1": ("networkpolicies",),
    "/apis/policy/v1": ("poddisruptionbudgets",),
    "/apis/rbac.authorization.k8s.io/v1": ("roles", "rolebindings"),
}
CLUSTER_KINDS = {
    "/apis/admissionregistration.k8s.io/v1": ("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
    "/apis/rbac.authorization.k8s.io/v1": ("clusterroles", "clusterrolebindings"),
}


_numbers = itertools.count(1)


class Releases:
    """What helm does in one namespace."""

    def __init__(self, access: Access, namespace: str) -> None:
        self.api: Api = access.api
        self.namespace = namespace
        self._where = (f"--kubeconfig={access.kubeconfig}", f"--namespace={namespace}")

    def install(self, release: str, *flags: str) -> str:
        """What helm objects to; empty: the release is there."""
        made = helm("install", release, str(CHART), *self._where, *WITHOUT_DEFINITION, *flags, check=False)
        return made.stderr if made.returncode else ""

    def upgrade(self, release: str, *flags: str) -> None:
        helm("upgrade", release, str(CHART), *self._where, "--reset-then-reuse-values", *flags)

    def roll_back(self, release: str) -> None:
        helm("rollback", release, *self._where)

    def uninstall(self, release: str) -> None:
        helm("uninstall", release, *self._where, "--ignore-not-found")

    def secrets(self) -> dict[str, Json]:
        found = self.api.all(f"/api/v1/namespaces/{self.namespace}/secrets")
        return {each["metadata"]["name"]: each["data"] for each in found if not each["type"].startswith("helm.sh/")}

    def left(self) -> list[str]:
        """Everything of the chart, in the namespace and in the whole cluster."""
        found = [
            each
            for group, kinds in KINDS.items()
            for kind in kinds
            for each in self.api.all(f"{group}/namespaces/{self.namespace}/{kind}")
        ]
        for group, kinds in CLUSTER_KINDS.items():
            found += [each for kind in kinds for each in self.api.all(f"{group}/{kind}")]
        ours = [each for each in found if self.namespace in (each["metadata"].get("annotations") or {}).values()]
        return [each["metadata"]["name"] for each in ours]


@pytest.fixture
def spaces(cluster: Access) -> Iterator[tuple[Releases, Releases]]:
    """Two namespaces."""
    names = [f"release-{os.getpid()}-{next(_numbers)}" for _ in range(2)]
    for name in names:
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    one, other = (Releases(cluster, name) for name in names)
    yield one, other
    one.uninstall("first")
    other.uninstall("third")
    for name in names:
        cluster.api.delete(f"/api/v1/namespaces/{name}")


def test_a_release_lives_beside_others_is_upgraded_and_leaves_nothing(spaces: tuple[Releases, Releases]) -> None:
    one, other = spaces
    assert one.install("first") == ""

    # One namespace has one release: the operators of two would take each other's gateways for theirs.
    assert 'Lease "forebay-operator"' in one.install("second")
    # Objects of the whole cluster are called by the release's name.
    assert 'ClusterRole "first-forebay-' in other.install("first")
    assert other.install("third", f"--set=namespaces={{{other.namespace}}}") == ""

    before = one.secrets()
    one.upgrade("first", "--set=gateway.holdSeconds=30")
    assert one.secrets() == before, "what was drawn at random is drawn once"
    assert len(before) == 2
    one.roll_back("first")
    assert one.secrets() == before

    assert one.left()
    one.uninstall("first")
    other.uninstall("third")
    eventually(lambda: not one.left() + other.left(), lambda: f"{one.left() + other.left()} are left")


def test_a_definition_that_is_there_is_taken_over_brought_up_to_date_and_outlives_the_release(
    spaces: tuple[Releases, Releases],
) -> None:
    """It may be another one's by `kubectl`, and an older one: with it the ModelDeployments would go."""
    one, _ = spaces
    (now,) = one.api.get(DEFINITION)["spec"]["versions"]
    older = {**now, "additionalPrinterColumns": now["additionalPrinterColumns"][:1]}
    one.api.merge(DEFINITION, {"spec": {"versions": [older]}})

    assert "invalid ownership metadata" in one.install("first", WITH_DEFINITION)
    one.uninstall("first")
    assert one.install("first", WITH_DEFINITION, *_taking_over()) == ""
    assert one.api.get(DEFINITION)["spec"]["versions"] == [now]

    before = one.api.get(DEFINITION)["metadata"]["uid"]
    one.uninstall("first")
    assert one.api.get(DEFINITION)["metadata"]["uid"] == before


def _taking_over() -> list[str]:
    """Since its version 4 helm applies at the server, and leaves fields of others alone unless it is told otherwise."""
    is_older = helm("version", "--template={{.Version}}").stdout.startswith("v3.")
    return ["--take-ownership"] if is_older else ["--take-ownership", "--force-conflicts"]
