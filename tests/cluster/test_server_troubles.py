"""What keeps servers from starting, as a cluster shows it: the summary names cause and remedy, and correcting it is enough."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from cluster_api import ApiError, Json, eventually
from cluster_control_plane import Access
from cluster_site import Site, site


@dataclass(frozen=True)
class Row:
    """One trouble of a server's pod."""

    name: str
    summary: str
    waiting: Json = field(default_factory=dict[str, str])
    """The reason and message that its container waits with."""
    last: Json = field(default_factory=dict[str, str])
    """How it ended the last time."""
    unschedulable: str = ""
    """What the scheduler says."""

    def status(self, pod: Json) -> Json:
        if self.unschedulable:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": self.unschedulable}
            return {"phase": "Pending", "conditions": [condition]}
        first = pod["spec"]["containers"][0]
        container = {"name": first["name"], "image": first["image"], "imageID": "", "ready": False, "restartCount": 0}
        states = {"state": {"waiting": self.waiting}, **({"lastState": {"terminated": self.last}} if self.last else {})}
        return {"phase": "Pending", "containerStatuses": [{**container, **states}]}


ROWS = [
    Row(
        "image",
        "The image forebay/runtime:test cannot be pulled (Back-off pulling image): check its name and pull secret",
        waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling image"},
    ),
    Row(
        "busy",
        "No node has a free GPU for it (0/3 nodes are available: 3 Insufficient nvidia.com/gpu): add a GPU node, or free",
        unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    ),
    Row(
        "drained",
        "No node takes it (0/1 nodes are available: 1 node(s) were unschedulable): add a node that does",
        unschedulable="0/1 nodes are available: 1 node(s) were unschedulable.",
    ),
    Row(
        "narrow",
        "No node has room for it (0/1 nodes are available: 1 Insufficient memory): add a node, or lower what it requests",
        unschedulable="0/1 nodes are available: 1 Insufficient memory.",
    ),
    Row(
        "secret",
        'Its container cannot be made (secret "forebay-store" not found): create what is missing, and it starts by itself',
        waiting={"reason": "CreateContainerConfigError", "message": 'secret "forebay-store" not found'},
    ),
    Row(
        "crash",
        "It ends again and again (it used more memory than its limit): look into its log",
        waiting={"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"},
        last={"reason": "OOMKilled", "exitCode": 137},
    ),
]


@pytest.fixture(scope="module")
def afflicted() -> dict[str, Row]:
    """The troubles of now, by the model whose servers have them."""
    return {row.name: row for row in ROWS}


@pytest.fixture(scope="module")
def here(cluster: Access, tmp_path_factory: pytest.TempPathFactory, afflicted: dict[str, Row]) -> Iterator[Site]:
    """A namespace in which each of these models has a server of its own, and its own trouble."""

    def trouble(pod: Json) -> Json | None:
        labels = pod["metadata"]["labels"]
        row = afflicted.get(labels.get("forebay.dev/model", ""))
        return row.status(pod) if row and labels["app.kubernetes.io/component"] == "server" else None

    with site(cluster, f"troubles-{os.getpid()}", tmp_path_factory.mktemp("troubles")) as made:
        made.start_kubelet().trouble = trouble
        made.start_operator(
            devices={"simulated": {"servers": len(ROWS) + 2, "memory": "1Gi"}},
            settings={"serverIdleSeconds": 2, "serverStartSeconds": 3000},
            servers={"cpuImage": "forebay/runtime:test", "gpuImage": "forebay/runtime:test", "limits": {"memory": "4Gi"}},
        )
        for row in ROWS:
            made.deploy(row.name, made.model_file(), placement={"exclusive": True})
        yield made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_keeps_a_server_from_starting_is_named_and_correcting_it_is_enough(
    here: Site, afflicted: dict[str, Row], row: Row
) -> None:
    summary = here.wait_for_summary(row.name, row.summary)
    assert summary.startswith("Not ready: it waits for forebay-")
    del afflicted[row.name]
    here.wait_until_ready(row.name)
    here.api.delete(here.path("modeldeployments", row.name))


def test_limits_and_quotas_of_a_namespace_are_named_and_lifting_them_is_enough(here: Site) -> None:
    here.deploy("wide", here.model_file(), placement={"exclusive": True})
    here.wait_until_ready("wide")
    limit = {"type": "Container", "max": {"memory": "1Mi"}}
    _until_lifted(here, "limitranges", {"limits": [limit]}, "The namespace's limits refuse it", "change the LimitRange")
    here.deploy("wide", here.model_file(), placement={"exclusive": True})
    eventually(lambda: len(here.all("pods")) == 1, lambda: f"a server without replicas stays: {here.all('pods')}")
    hard = {"limits.memory": "1Mi"}
    _until_lifted(here, "resourcequotas", {"hard": hard}, "The namespace's quota is used up", "raise the ResourceQuota")


def _until_lifted(here: Site, kind: str, spec: Json, cause: str, remedy: str) -> None:
    """A second replica is refused as long as the namespace has this object."""
    here.api.create(here.path(kind), {"metadata": {"name": "tight"}, "spec": spec})
    eventually(lambda: _is_refused(here), f"the {kind} do not bite")
    here.deploy("wide", here.model_file(), placement={"exclusive": True}, replicas=2)
    summary = here.wait_for_summary("wide", cause)
    assert summary.startswith("Ready: 1 of 2 replicas")
    assert remedy in summary
    here.api.delete(here.path(kind, "tight"))
    here.wait_until_ready("wide", replicas=2)


def _is_refused(here: Site) -> bool:
    """Whether a pod like a server's is: API servers come to know of such objects a little later."""
    container = {"name": "probe", "image": "probe", "resources": {"limits": {"memory": "4Gi"}}}
    try:
        here.api.create(
            f"{here.path('pods')}?dryRun=All", {"metadata": {"name": "probe"}, "spec": {"containers": [container]}}
        )
    except ApiError:
        return True
    return False
